// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of Forecast. In C, because here a function can be compiled for several sets of instructions, of which
// the best that the processor has is chosen as the program runs. All give the same bits: sums and products of float64 in
// a fixed order, and no fused operations.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// A set of instructions that the loops are compiled for.
typedef enum TapedeckVectors {
    TapedeckVectorsBaseline = 0,
    TapedeckVectorsAVX2 = 1,
    TapedeckVectorsAVX512 = 2,
} TapedeckVectors;

/// The best set that this processor has.
TapedeckVectors tapedeck_best_vectors(void);

/// What a step of the simulation is made of.
typedef struct TapedeckWalk {
    /// Added to the logarithm of each price, and what a normal number is multiplied with.
    double drift, deviation;
    /// The key of the random numbers.
    uint64_t key;
} TapedeckWalk;

/// Takes `count` logarithms of prices, a multiple of 16, through `steps` steps. Those of path `path + i` stand in
/// `state[i]`, and after step s in `tile[s * stride + i]`. Path i at step s takes the number that Philox4x32-10 gives for
/// the counter (i / 2, s): of 16 paths the first eight take the first number of a pair, the others the second.
void tapedeck_advance(
    TapedeckVectors vectors, TapedeckWalk walk, double *state, uint64_t path, size_t count, uint64_t first_step,
    size_t steps, double *tile, size_t stride);

/// The sum of the exponentials of `count` numbers: in eight sums, added in a fixed order.
double tapedeck_sum_of_exp(TapedeckVectors vectors, const double *row, size_t count);

/// Writes into `places[i]` the number of the bucket of `row[i]`, (row[i] - low) * scale within 0 to `buckets` - 1, and
/// adds the numbers of each bucket to `counts`. Reads and writes up to 7 more places than `count`.
void tapedeck_buckets(
    TapedeckVectors vectors, const double *row, size_t count, double low, double scale, size_t buckets,
    uint16_t *places, uint32_t *counts);

// The parts of the above, for the tests: each applied to `count` numbers, a multiple of 8.

/// Eight blocks of Philox4x32-10 at once, of the counters (first + lane, second): two words of 64 bits each.
void tapedeck_philox(
    TapedeckVectors vectors, uint64_t first, uint64_t second, uint64_t key, uint64_t low[8], uint64_t high[8]);
/// Uniform numbers in (0, 1) of 64 random bits each.
void tapedeck_uniform(TapedeckVectors vectors, const uint64_t *bits, double *result, size_t count);
/// Two independent standard normal numbers of two uniform ones.
void tapedeck_normals(
    TapedeckVectors vectors, const double *first, const double *second, double *cosine, double *sine, size_t count);
/// The natural logarithm of positive normal numbers, within 2 units in the last place and 3e-16 absolutely.
void tapedeck_log(TapedeckVectors vectors, const double *x, double *result, size_t count);
/// The exponential of numbers from -700 to 700, within 3 units in the last place; beyond, of the nearer bound.
void tapedeck_exp(TapedeckVectors vectors, const double *x, double *result, size_t count);
/// Sine and cosine of whole turns, from 0 to 1 turn, within 3e-16 absolutely.
void tapedeck_sine_and_cosine(
    TapedeckVectors vectors, const double *turns, double *sine, double *cosine, size_t count);
