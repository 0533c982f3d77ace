// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import QueryServer

@Suite struct StatementKindTests {
    @Test(arguments: [
        "select 1", "SELECT 1", " \n\tvalues (1)", "((select 1))", "table trades",
        "with a as (select 1) select * from a",
        "show timezone", "explain select 1", "-- set\nselect 1", "/* set /* role */ x */select 1", "; select 1",
        "select",
        "--\rselect 1", "/**/ /* */ -- x\n select 1",
    ])
    func `a query gives rows and leaves nothing`(_ sql: String) { #expect(StatementKind(sql) == .rows) }

    @Test(arguments: [
        ("set role postgres", "SET"), ("/* select */ SET SESSION AUTHORIZATION x", "SET"), ("copy t to stdout", "COPY"),
        ("-- select\nDO $$ begin end $$", "DO"), ("begin", "BEGIN"), ("END", "END"),
        ("declare c cursor for select 1", "DECLARE"),
        ("prepare transaction 'x'", "PREPARE"), (";;lock trades", "LOCK"), ("(listen x", "LISTEN"),
        ("/* a /* b */ select */ notify x", "NOTIFY"), ("set(1)", "SET"), ("discard all", "DISCARD"),
    ])
    func `what is about the session is named`(_ sql: String, _ word: String) {
        #expect(StatementKind(sql) == .session(word))
    }

    @Test(arguments: [
        ("select 1", "select 1"), ("explain analyze select 1", "select 1"),
        ("EXPLAIN (ANALYZE, BUFFERS) select 1", " select 1"),
        ("/* x */ explain /* y */ analyse verbose select 1", "select 1"),
        ("explain verbose analyze\n(select 1)", "(select 1)"),
        ("explain select 1", nil), ("explain (costs off) select analyze from t", nil),
        ("explain verbose select 1", nil),
        ("EXPLAIN (/*)*/ ANALYZE) q", " q"), ("explain (U&\"\\0061nalyze\") q", " q"),
        ("explain (ANALYZE /*)*/) q", " q"),
        ("explain (format \"x)\", costs off) q", " q"), ("explain (format ')', costs) q", nil), ("explain", nil),
        ("explain (analyze", ""),
        ("explain (analyze false) q", nil), ("explain (costs, ANALYZE /* no */ OFF, verbose) q", nil),
        ("explain (analyze 0) q", nil), ("explain (analyze on) q", " q"), ("explain (analyze true) q", " q"),
        ("explain (analyze false, analyze) q", " q"), ("explain (analyze falsely) q", " q"),
        ("explain (analyze 01) q", " q"), ("explain (analyze 'off') q", " q"), ("explain (analyze false", ""),
    ])
    func `EXPLAIN ANALYZE runs what it explains`(_ sql: String, _ run: String?) {
        #expect(StatementKind.run(by: sql).map(String.init) == run)
    }

    @Test(arguments: [
        "", "insert into t values (1)", "selct 1", "create table t ()", "/* select", "settle", "select_ 1",
        "\"select\" 1",
        "1", "é", "$$select$$", "/", "-", "explain_ analyze",
    ])
    func `the rest is left to PostgreSQL`(_ sql: String) { #expect(StatementKind(sql) == .other) }
}
