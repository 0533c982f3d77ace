// SPDX-License-Identifier: Apache-2.0

import Sentiment
import Testing
import TestSupport

struct MarkdownTests {
    @Test(arguments: [
        ("plain text", "plain text"),
        ("> quoted words\n\nmine", "\nmine"),
        ("&gt; quoted by the API\nmine", "mine"),
        (">!hidden!< words", "hidden words"),
        ("a `code` b", "a   b"),
        ("a ``co`de`` b", "a   b"),
        ("```\nAAPL fenced\n```\nafter", "after"),
        ("~~~\nfenced\n~~~\nafter", "after"),
        ("text\n\n    indented code\n\nafter", "text\n\n\nafter"),
        ("text\n    is continued", "text\nis continued"),
        ("[a text](https://example.com/AAPL) b", "a text b"),
        ("![an image](https://example.com/x.png) b", " b"),
        ("see https://example.com/AAPL?x=1 now", "see  now"),
        ("(www.example.com) b", "() b"),
        ("<https://example.com> b", " b"),
        ("**bold** and *weak* and __bold__ and ~~gone~~", "bold and weak and bold and gone"),
        ("snake_case_name 5 * 3", "snake_case_name 5 * 3"),
        ("# A title\n- an item\n* another", "A title\nan item\nanother"),
        ("---\ntext", "\ntext"),
        (#"\*not weak\*"#, "*not weak*"),
        ("Johnson &amp; Johnson &lt;3", "Johnson & Johnson <3"),
        ("[deleted]", ""), ("[removed]", ""), ("", ""),
        ("[open (never closed", "[open (never closed"), ("`open", "open"), ("a & b &unknown;", "a & b &unknown;"),
    ])
    func `what is not the writer's own words goes`(source: String, plain: String) {
        #expect(MarkdownText.plain(source) == plain)
    }

    @Test func `no text takes long or fails`() {
        var random = SeededRandom()
        let pieces = [
            "[", "]", "(", ")", "*", "_", "`", "~~", "\\", "<", ">", "\n", "    ", "http://", "a", "é", "&gt;", "!",
            "#",
        ]
        for _ in 0..<3000 {
            let text = (0..<Int.random(in: 0..<60, using: &random)).map { _ in
                pieces[Int.random(in: 0..<pieces.count, using: &random)]
            }.joined()
            _ = MarkdownText.plain(text)
        }
        // Each of these looks far ahead at every byte unless the look is bounded.
        for piece in ["[", "`a", "![", "<http://", "(", "[](", "**"] {
            #expect(MarkdownText.plain(String(repeating: piece, count: 10_000)).utf8.count <= 10_000 * piece.utf8.count)
        }
    }
}
