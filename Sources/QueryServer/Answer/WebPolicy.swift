// SPDX-License-Identifier: Apache-2.0
// What browsers are told to refuse: Content Security Policy Level 3 (W3C), and the fields beside it.

package import HTTP

/// The security headers of what the server answers.
package enum WebPolicy {
    /// Which styles a page may have.
    enum Styles {
        /// Those in files.
        case files
        /// Also those that a script writes into the page.
        case inline
    }

    /// For every answer that is no page of ours: should a browser ever show one, nothing in it is loaded, run, framed or
    /// taken for something else.
    package static let standardHeaders: Headers = [
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
    ]

    /// The same for a server that speaks TLS, with HTTP Strict Transport Security (RFC 6797): for so long, browsers ask this
    /// host over https only. Of its subdomains nothing is said: they may be others' servers.
    package static func standardHeaders(strictTransport age: Duration?) -> Headers {
        guard let age else { return standardHeaders }
        var headers = standardHeaders
        headers.add("Strict-Transport-Security", "max-age=\(age.components.seconds)")
        return headers
    }

    /// For our pages: scripts from this server's files only, none in the page itself, nothing from elsewhere, and no
    /// device of the reader's.
    static func page(styles: Styles) -> Headers {
        let inline = styles == .inline ? " 'unsafe-inline'" : ""
        return [
            "Content-Security-Policy":
                "default-src 'none'; script-src 'self'; style-src 'self'\(inline); img-src 'self' data:; "
                + "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ]
    }
}
