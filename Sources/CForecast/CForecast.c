// SPDX-License-Identifier: Apache-2.0

#include "CForecast.h"

#include <math.h>

// A fused product and sum rounds once where two operations round twice; which machine has it must not matter.
#pragma STDC FP_CONTRACT OFF
// Vectors are passed between functions that are always inlined, and so by no convention of calls.
#pragma clang diagnostic ignored "-Wpsabi"

#define NAME(x) x##_baseline
#define TARGET
#include "Loops.h"

#if defined(__x86_64__)

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2")))
#include "Loops.h"

#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl")))
#include "Loops.h"

TapedeckVectors tapedeck_best_vectors(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl")) {
        return TapedeckVectorsAVX512;
    }
    return __builtin_cpu_supports("avx2") ? TapedeckVectorsAVX2 : TapedeckVectorsBaseline;
}

#define CHOOSE(function, ...)                                                        \
    switch (vectors) {                                                               \
    case TapedeckVectorsAVX512: return function##_avx512(__VA_ARGS__);               \
    case TapedeckVectorsAVX2: return function##_avx2(__VA_ARGS__);                   \
    case TapedeckVectorsBaseline: return function##_baseline(__VA_ARGS__);           \
    }                                                                                \
    __builtin_unreachable()

#else

TapedeckVectors tapedeck_best_vectors(void) { return TapedeckVectorsBaseline; }

#define CHOOSE(function, ...)                                                        \
    (void)vectors;                                                                   \
    return function##_baseline(__VA_ARGS__)

#endif

void tapedeck_advance(
    TapedeckVectors vectors, TapedeckWalk walk, double *state, uint64_t path, size_t count, uint64_t first_step,
    size_t steps, double *tile, size_t stride) {
    CHOOSE(run_advance, walk, state, path, count, first_step, steps, tile, stride);
}

double tapedeck_sum_of_exp(TapedeckVectors vectors, const double *row, size_t count) {
    CHOOSE(run_sum_of_exp, row, count);
}

void tapedeck_buckets(
    TapedeckVectors vectors, const double *row, size_t count, double low, double scale, size_t buckets,
    uint16_t *places, uint32_t *counts) {
    CHOOSE(run_buckets, row, count, low, scale, buckets, places, counts);
}

void tapedeck_philox(
    TapedeckVectors vectors, uint64_t first, uint64_t second, uint64_t key, uint64_t low[8], uint64_t high[8]) {
    CHOOSE(run_philox, first, second, key, low, high);
}

void tapedeck_uniform(TapedeckVectors vectors, const uint64_t *bits, double *result, size_t count) {
    CHOOSE(run_uniform, bits, result, count);
}

void tapedeck_normals(
    TapedeckVectors vectors, const double *first, const double *second, double *cosine, double *sine, size_t count) {
    CHOOSE(run_normals, first, second, cosine, sine, count);
}

void tapedeck_log(TapedeckVectors vectors, const double *x, double *result, size_t count) {
    CHOOSE(run_log, x, result, count);
}

void tapedeck_exp(TapedeckVectors vectors, const double *x, double *result, size_t count) {
    CHOOSE(run_exp, x, result, count);
}

void tapedeck_sine_and_cosine(
    TapedeckVectors vectors, const double *turns, double *sine, double *cosine, size_t count) {
    CHOOSE(run_sine_and_cosine, turns, sine, cosine, count);
}
