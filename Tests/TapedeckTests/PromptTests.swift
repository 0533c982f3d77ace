// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Tapedeck

@Suite struct PromptTests {
    private func statements(_ lines: String...) -> [String] {
        var splitter = StatementSplitter()
        return lines.flatMap { splitter.take($0) }
    }

    @Test func `a semicolon ends a statement where it is one`() {
        #expect(statements("select 1; select 2;\n") == ["select 1", " select 2"])
        #expect(statements("select ';', \";\" -- ;\n", "/* ; /* ; */ ; */ , $$;$$, $a$;$$;$a$;\n").count == 1)
        #expect(statements("select (1;\n", "2);\n") == ["select (1;\n2)"])
        #expect(statements(";;\n", "-- only this;\n", ";\n").isEmpty)
        #expect(statements("select $1, a$b$ ;\n") == ["select $1, a$b$ "])
        #expect(statements("select 'it''s;';\n") == ["select 'it''s;'"])
    }

    @Test func `the splitter knows what it is in the middle of`() {
        var splitter = StatementSplitter()
        _ = splitter.take("select 'a\n")
        #expect(splitter.place == .quote(UInt8(ascii: "'")) && !splitter.isEmpty)
        _ = splitter.take("' /* \n")
        #expect(splitter.place == .comment(depth: 1))
        _ = splitter.take("*/ $x$\n")
        #expect(splitter.place == .dollarQuote(Array("$x$".utf8)))
        #expect(splitter.take("$x$;\n").count == 1 && splitter.isEmpty)
    }

    @Test func `completion goes by what stands before`() {
        var names = Completion()
        for (name, column) in [("trades", "symbol"), ("trades", "price"), ("bars", "open")] {
            names.add(kind: "relation", name: name, column: column)
        }
        names.add(kind: "function", name: "vwap", column: "")
        names.add(kind: "keyword", name: "select", column: "")
        #expect(names.candidates(for: "sel").words == ["select"])
        #expect(names.candidates(for: "SEL").words == ["SELECT"])
        #expect(names.candidates(for: "select * from t").words == ["trades"])
        #expect(names.candidates(for: "select * from ").words == ["bars", "trades"])
        #expect(names.candidates(for: "select t.p").words.isEmpty)
        #expect(names.candidates(for: "select * from trades t where t.p").words == ["t.price"])
        #expect(names.candidates(for: "select trades.").words == ["trades.price", "trades.symbol"])
        #expect(names.candidates(for: "select * from trades where op").words.isEmpty)
        #expect(names.candidates(for: "\\f").words == ["\\format"])
        #expect(names.candidates(for: "\\d ba").words == ["bars"])
        #expect(Completion.commonPrefix(["trades", "trade_id", "tra"]) == "tra")
    }
}
