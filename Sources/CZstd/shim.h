// SPDX-License-Identifier: Apache-2.0
#ifndef TAPEDECK_CZSTD_H
#define TAPEDECK_CZSTD_H
#include <zstd.h>
#endif
