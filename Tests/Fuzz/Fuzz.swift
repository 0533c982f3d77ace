// SPDX-License-Identifier: Apache-2.0
// The entry that libFuzzer calls, and the table of what can be fuzzed. `make fuzz` builds and runs it.

import Glibc

/// A parser under test: takes any bytes, and traps where a property of it does not hold.
typealias FuzzTarget = @Sendable ([UInt8]) -> Void

/// What `FUZZ=NAME` chooses; seeds are in `Tests/Fuzz/corpus/NAME`. Another parser is one more line here, a function, and
/// a folder of seeds.
let targets: [String: FuzzTarget] = [
    "request": fuzzRequest,
    "chunked": fuzzChunked,
    "query": fuzzQuery,
    "proxy": fuzzProxy,
    "json": fuzzJSON,
    "websocket": fuzzWebSocket,
]

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
