// SPDX-License-Identifier: Apache-2.0

import Glibc
import Market

/// The wall clock, in microseconds.
@Sendable func wallClock() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
}
