// SPDX-License-Identifier: Apache-2.0
// FlyingFox: the same bytes for every GET.
import FlyingFox
import Foundation

let port = UInt16(CommandLine.arguments[1])!
let body = Data(CommandLine.arguments[2].utf8)
let server = HTTPServer(address: try .inet(ip4: "127.0.0.1", port: port), logger: .disabled)
await server.appendRoute("GET /") { _ in
    HTTPResponse(statusCode: .ok, headers: [.contentType: "text/plain"], body: body)
}
try await server.run()
