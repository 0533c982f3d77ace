// SPDX-License-Identifier: Apache-2.0
// The entry that libFuzzer calls. `make fuzz` builds and runs it.

import Glibc

private func dprint(_ text: String) { _ = text.withCString { write(2, $0, strlen($0)) } }

private let chosen: FuzzTarget = {
    let name = getenv("FUZZ").map { String(cString: $0) } ?? ""
    guard let target = targets[name] else {
        dprint("FUZZ=\(name): choose one of \(targets.keys.sorted().joined(separator: ", "))\n")
        exit(2)
    }
    return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    chosen(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
