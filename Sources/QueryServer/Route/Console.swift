// SPDX-License-Identifier: Apache-2.0
// The console: the files in the folder console, and the libraries that deploy/install-console fetches.

package import HTTP

/// The pages at `/`, as files; what they show they ask of the interface that everybody has.
package struct Console: Sendable {
    /// The pages, styles and scripts that are ours; nil where they are not installed.
    private let files: StaticFiles?
    /// The charts and the editor, below `lib`; nil where they are not installed.
    private let libraries: StaticFiles?

    package init(files: StaticFiles?, libraries: StaticFiles?) {
        self.files = files
        self.libraries = libraries
    }

    /// Whether a request for `/` is a browser's, which says that it would rather have HTML than anything (RFC 9110
    /// §12.5.1). Programs say nothing, `*/*` or JSON, and get the list.
    func isWanted(_ head: RequestHead) -> Bool {
        files != nil && head.values(of: "accept").contains { $0.lowercased().contains("text/html") }
    }

    /// `GET /` for browsers, and `/console/…`.
    func answer(_ request: Request, _ response: ResponseWriter) async throws {
        let path = try request.head.pathSegments().dropFirst().joined(separator: "/")
        guard let files else {
            throw QueryError(
                501, "not_available", "the console is not installed",
                hint: "It is the folder console of the sources; TAPEDECK_CONSOLE names where it is.")
        }
        var policy = WebPolicy.page(styles: .files)
        if path.isEmpty { policy.add("Vary", "Accept") }
        if let library = path.withoutPrefix("lib/") {
            guard let libraries else {
                throw QueryError(
                    501, "not_available", "the console's charts and editor are not installed",
                    hint: "deploy/install-console installs them; TAPEDECK_CONSOLE_LIBRARIES names their folder.")
            }
            if try await libraries.respond(to: request, library, response, more: policy) { return }
        } else if try await files.respond(to: request, path, response, more: policy) {
            return
        }
        throw QueryError(404, "not_found", "the console has no such file", hint: "The console is at /.")
    }
}

extension String {
    /// What follows `prefix`; nil if the text does not begin with it.
    fileprivate func withoutPrefix(_ prefix: String) -> String? {
        hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
    }
}
