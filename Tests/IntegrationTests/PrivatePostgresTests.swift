// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Store

struct PrivatePostgresTests {
    @Test(arguments: [
        ("15\n", "6.1.0-18-amd64", true), ("14\n", "5.8.0", true), ("16\n", "5.10.0-rc1+", true), ("18", "7.0", true),
        ("13\n", "6.1.0", false), ("15\n", "5.7.19", false), ("15\n", "4.19.0", false), ("", "6.1.0", false),
        ("15", "", false), ("15", "6", false), ("15", "x.y", false),
    ])
    func `a recovery syncs whole file systems only where a failure of that is told`(
        server: String, kernel: String, isAllowed: Bool
    ) {
        #expect(PrivatePostgres.syncsFileSystems(server: server, kernel: kernel) == isAllowed)
    }
}
