// SPDX-License-Identifier: Apache-2.0
// Linux interfaces that Swift's Glibc module does not cover.
#ifndef TAPEDECK_CLINUX_H
#define TAPEDECK_CLINUX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <features.h>
// With __USE_XOPEN, fd_set has a member named otherwise than in Swift's own Glibc module; two definitions of one type do
// not compile.
#undef __USE_XOPEN
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/// Sets how long a thread of the ordinary scheduling policy runs before others that are ready (sched_setattr(2), Linux
/// 6.12; earlier ones take no notice), and leaves its policy and its niceness as they are. glibc 2.36 has no function for
/// it. Returns 0, or -1 with errno.
static inline int tapedeck_set_slice(pid_t thread, uint64_t nanoseconds) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes = {0};
  if (syscall(SYS_sched_getattr, thread, &attributes, sizeof attributes, 0) != 0) return -1;
  if (attributes.policy != 0) return 0;
  attributes.size = sizeof attributes;
  attributes.runtime = nanoseconds;
  return (int)syscall(SYS_sched_setattr, thread, &attributes, 0);
}

#endif
