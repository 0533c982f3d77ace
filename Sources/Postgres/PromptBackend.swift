// SPDX-License-Identifier: Apache-2.0
// The server's processes among others that want the processor.

import CLinux
import EventLoop
import Glibc

extension PostgresConnection {
    /// Gives the server process of this connection the short slices that event loops have
    /// (``EventLoop/shortSlice``), where it is on this machine and we may: a process that answers in microseconds would wait
    /// for its turn among exports for milliseconds.
    package func makeBackendPrompt() {
        // The number of a process means something here if the way to it is a file. Yet a container can share the socket's
        // directory and number its processes by itself.
        let process = backendPID
        guard settings.host?.hasPrefix("/") == true, Self.nameOfProcess(process) == "postgres" else { return }
        _ = tapedeck_set_slice(process, UInt64(EventLoop.shortSlice.inNanoseconds))
    }

    private static func nameOfProcess(_ process: Int32) -> String? {
        let descriptor = open("/proc/\(process)/comm", O_RDONLY | O_CLOEXEC)
        if descriptor < 0 { return nil }
        defer { _ = Glibc.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<(count - 1)], as: UTF8.self) : nil
    }
}
