// SPDX-License-Identifier: Apache-2.0
#ifndef TAPEDECK_CLIBPQ_H
#define TAPEDECK_CLIBPQ_H
#include <libpq-fe.h>
#endif
