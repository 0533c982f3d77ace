// SPDX-License-Identifier: Apache-2.0
// A connection on which another protocol is spoken from now on.

package import EventLoop

/// What ``ResponseWriter/switchProtocols(_:)`` hands over, for as long as the handler runs. Loop thread only.
package struct UpgradedConnection {
    package let socket: StreamSocket
    /// Bytes that the client has sent behind its request already.
    package let received: [UInt8]
    package let loop: EventLoop
    /// A buffer to receive into, shared by all connections of the loop: what is in it is gone after a suspension.
    package let scratch: UnsafeMutableRawBufferPointer
}
