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
        "", "insert into t values (1)", "selct 1", "create table t ()", "/* select", "settle", "select_ 1",
        "\"select\" 1",
        "1", "é", "$$select$$", "/", "-", "explain_ analyze",
    ])
    func `the rest is left to PostgreSQL`(_ sql: String) { #expect(StatementKind(sql) == .other) }
}
