// SPDX-License-Identifier: Apache-2.0
//
// A disk that loses what was not synced: a VFS of SQLite's (sqlite.org/vfs.html) in front of the system's own, which
// notes beside each database and WAL what a power cut would leave of it.
//
//   FILE.synced    what the file held when it was last synced
//   FILE.pending   the writes since then, each: int64 offset, int64 length, bytes; length -1 for a truncation to offset
//
// Any part of the pending writes may have reached a disk, in any order; nothing of what was synced may be missing.

#ifndef TAPEDECK_POWER_LOSS_H
#define TAPEDECK_POWER_LOSS_H

/// Puts it in front of every database of this process whose path begins with `prefix`, from its next opening on.
/// Returns 0, or SQLite's error.
int power_loss_install(const char *prefix);

/// Takes it away; databases that are open go on as they were.
void power_loss_remove(void);

/// Cuts the power at the `event`-th write or sync from now on: nothing is noted after it. 0 for never.
void power_loss_cut_at(long event);

/// Writes and syncs since the last call of power_loss_cut_at.
long power_loss_events(void);

#endif
