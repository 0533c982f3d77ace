// SPDX-License-Identifier: Apache-2.0
// The contract, and the page on which people read it.

package import HTTP

/// What `/openapi.json` and `/docs` show.
package struct Contract: Sendable {
    /// The OpenAPI document.
    let json: [UInt8]
    let yaml: [UInt8]
    /// The files of Swagger UI; nil where it is not installed.
    let viewer: StaticFiles?
    /// The page and its script, which are ours.
    let page: StaticFiles
    private let entityTag: String

    package init(json: [UInt8], yaml: [UInt8], viewer: StaticFiles?) {
        self.json = json
        self.yaml = yaml
        self.viewer = viewer
        page = StaticFiles([("index.html", Array(Self.html.utf8)), ("start.js", Array(Self.script.utf8))])
        entityTag = "\"\(String(Caching.digest(json), radix: 16))\""
    }

    private static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Tapedeck: the HTTP interface</title>
        <link rel="stylesheet" href="/docs/swagger-ui.css">
        <link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
        </head>
        <body>
        <noscript>This page needs scripts. The same as text: <a href="/openapi.json">/openapi.json</a>.</noscript>
        <div id="page"></div>
        <script src="/docs/swagger-ui-bundle.js"></script>
        <script type="module" src="/docs/start.js"></script>
        </body>
        </html>

        """
    private static let script = """
        // Requests go to the server that the page came from, which need not be the one that the contract names.
        const contract = await (await fetch("/openapi.json")).json();
        contract.servers = [{ url: location.origin }];
        SwaggerUIBundle({
          spec: contract, dom_id: "#page", deepLinking: true, docExpansion: "list",
          defaultModelsExpandDepth: 0, tryItOutEnabled: true, validatorUrl: null
        });

        """

    /// `GET /openapi.json`, `/openapi.yaml`.
    func answer(_ request: Request, _ response: ResponseWriter, asYAML: Bool) async throws {
        let headers: Headers = [
            "ETag": entityTag, "Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*",
            "Content-Type": asYAML ? "application/yaml" : "application/json",
        ]
        switch request.head.preconditions(Validators(entityTag: entityTag)) {
        case .met: break
        case .failed: throw QueryError.preconditionFailed
        case .notModified: return try await response.respond(.notModified, headers)
        }
        try await response.respond(.ok, headers, asYAML ? yaml : json)
    }

    /// `GET /docs` and what is below it.
    func answerPage(_ request: Request, _ response: ResponseWriter) async throws {
        let path = String(
            decoding: request.head.rawPath.dropFirst("/docs".utf8.count).drop { $0 == 0x2F }, as: UTF8.self)
        guard let viewer else {
            throw QueryError(
                501, "not_available", "the viewer of the documentation is not installed",
                hint: "deploy/install-docs-viewer installs it; TAPEDECK_DOCS_VIEWER names its folder. "
                    + "/openapi.json has the same, for programs.")
        }
        let policy = WebPolicy.page(styles: .inline)
        if try await page.respond(to: request, path, response, more: policy) { return }
        if !path.isEmpty, try await viewer.respond(to: request, path, response, more: policy) { return }
        throw QueryError(404, "not_found", "no such page", hint: "Perhaps you meant /docs.")
    }
}

extension QueryHandler {
    /// The contract; 501 in a program that has none.
    func answerContract(_ route: Route, _ request: Request, _ response: ResponseWriter) async throws {
        guard let contract = configuration.contract else {
            throw QueryError(501, "not_available", "this server has no contract to show")
        }
        _ = try ParameterReader(try request.head.query(), known: [])
        switch route {
        case .docs, .docsFile: try await contract.answerPage(request, response)
        default: try await contract.answer(request, response, asYAML: route == .openAPIYAML)
        }
    }
}
