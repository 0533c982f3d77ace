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
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#endif
