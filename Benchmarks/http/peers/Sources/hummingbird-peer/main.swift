// SPDX-License-Identifier: Apache-2.0
// Hummingbird 2 on one event loop: the same bytes for every GET.
import Hummingbird
import Logging
import NIOPosix

let port = Int(CommandLine.arguments[1])!
let body = ByteBuffer(string: CommandLine.arguments[2])
var logger = Logger(label: "peer")
logger.logLevel = .error
let router = Router()
router.get("/") { _, _ in
    Response(status: .ok, headers: [.contentType: "text/plain"], body: .init(byteBuffer: body))
}
let application = Application(
    router: router, configuration: .init(address: .hostname("127.0.0.1", port: port)),
    eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup(numberOfThreads: 1)), logger: logger)
try await application.runService()
