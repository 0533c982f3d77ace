// SPDX-License-Identifier: Apache-2.0

import Glibc

extension MetricsRegistry {
    /// Adds what Prometheus' own client libraries tell of a process, under their names, read from `/proc` at each
    /// scrape.
    ///
    /// - Parameter version: of the program, shown as a label of `tapedeck_build_info`.
    package func addProcessMetrics(version: String) {
        gauges("tapedeck_build_info", "Version of the program; always 1.", labels: ["version"])[version].set(1)
        // A counter, but not of whole numbers.
        let cpu: Family<Gauge> = family(
            "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", .counter, [], 1,
            make: { Gauge() })
        let memory = gauge("process_resident_memory_bytes", "Resident memory size in bytes.")
        let descriptors = gauge("process_open_fds", "Number of open file descriptors.")
        let limit = gauge("process_max_fds", "Maximum number of open file descriptors.")
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        gauge("process_start_time_seconds", "When the process began to count, in seconds since the epoch.")
            .set(Double(now.tv_sec))
        beforeScrape {
            var usage = rusage()
            if getrusage(RUSAGE_SELF.rawValue, &usage) == 0 {
                let micros = Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
                cpu[[]].set(Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + micros * 1e-6)
            }
            if let pages = residentPages() { memory.set(pages * sysconf(CInt(_SC_PAGESIZE))) }
            if let count = openDescriptors() { descriptors.set(count) }
            var limits = rlimit()
            if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0 { limit.set(limits.rlim_cur) }
        }
    }
}

/// The second number of `/proc/self/statm`.
private func residentPages() -> Int? {
    guard let file = fopen("/proc/self/statm", "re") else { return nil }
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 128)
    guard fgets(&text, CInt(text.count), file) != nil else { return nil }
    let fields = text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }.split(separator: " ")
    return fields.count > 1 ? Int(fields[1]) : nil
}

private func openDescriptors() -> Int? {
    guard let folder = opendir("/proc/self/fd") else { return nil }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    // ".", ".." and the one that reads.
    return max(0, count - 3)
}
