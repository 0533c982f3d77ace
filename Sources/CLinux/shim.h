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
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
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

/// Has the kernel note when bytes reach a socket, for tapedeck_receive (SO_TIMESTAMPNS, socket(7)). Returns 0, or -1 with
/// errno.
static inline int tapedeck_note_arrivals(int socket) {
  int on = 1;
  return setsockopt(socket, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

/// As recv(2) without flags; `arrival` is when the last of the bytes reached the socket, in nanoseconds of CLOCK_REALTIME, or
/// 0 where the kernel has not noted it.
static inline ssize_t tapedeck_receive(int socket, void *bytes, size_t count, uint64_t *arrival) {
  struct iovec place = {bytes, count};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(struct timespec))];
  } control;
  struct msghdr message = {0};
  message.msg_iov = &place;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  ssize_t received = recvmsg(socket, &message, 0);
  *arrival = 0;
  if (received < 0) return received;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS) continue;
    struct timespec time;
    memcpy(&time, CMSG_DATA(part), sizeof time);
    *arrival = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
  }
  return received;
}

#endif
