// SPDX-License-Identifier: Apache-2.0
//
// The loops themselves, on eight lanes. Included once for each set of instructions, with
//   NAME(x)   the name of x for the set
//   TARGET    the attribute that makes the compiler use it

typedef double NAME(Lanes) __attribute__((vector_size(64), aligned(8)));
typedef uint64_t NAME(Bits) __attribute__((vector_size(64), aligned(8)));
typedef uint16_t NAME(Narrow) __attribute__((vector_size(16), aligned(2)));
#define Lanes NAME(Lanes)
#define Bits NAME(Bits)
#define Narrow NAME(Narrow)
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE Lanes NAME(lanes)(double x) { return (Lanes){x, x, x, x, x, x, x, x}; }
INLINE Bits NAME(bits)(uint64_t x) { return (Bits){x, x, x, x, x, x, x, x}; }

/// `a` where a bit of `mask` is 1, else `b`.
INLINE Lanes NAME(choose)(Bits mask, Lanes a, Lanes b) { return (Lanes)(((Bits)a & mask) | ((Bits)b & ~mask)); }

INLINE Lanes NAME(bounded)(Lanes x, double low, double high) {
    Lanes least = NAME(lanes)(low), most = NAME(lanes)(high);
    x = NAME(choose)((Bits)(x < least), least, x);
    return NAME(choose)((Bits)(x > most), most, x);
}

// Each lane holds 32 bits in 64, so that the product of two lanes is one instruction.
INLINE void NAME(philox)(uint64_t first, uint64_t second, uint64_t key, Bits *low, Bits *high) {
    const Bits mask = NAME(bits)(0xFFFFFFFF);
    const Bits index = NAME(bits)(first) + (Bits){0, 1, 2, 3, 4, 5, 6, 7};
    Bits word0 = index & mask, word1 = index >> 32;
    Bits word2 = NAME(bits)(second & 0xFFFFFFFF), word3 = NAME(bits)(second >> 32);
    uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const Bits product0 = word0 * NAME(bits)(0xD2511F53), product1 = word2 * NAME(bits)(0xCD9E8D57);
        word0 = (product1 >> 32) ^ word1 ^ NAME(bits)(key0);
        word1 = product1 & mask;
        word2 = (product0 >> 32) ^ word3 ^ NAME(bits)(key1);
        word3 = product0 & mask;
        // The golden ratio and √3 - 1, as 32-bit fractions.
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    *low = word0 | word1 << 32;
    *high = word2 | word3 << 32;
}

// The upper 52 bits k of each lane as (k + ½) · 2⁻⁵², so that neither 0 nor 1 occurs.
INLINE Lanes NAME(uniform)(Bits bits) {
    return (Lanes)((bits >> 12) | NAME(bits)(0x3FF0000000000000)) - (1 - 0x1p-53);
}

// x = m · 2ᵉ with m in [√½, √2); ln m = 2 artanh((m - 1) / (m + 1)) by its series to the 21st power.
INLINE Lanes NAME(log)(Lanes x) {
    // Adding the distance of √½ to 1 moves the border of the exponent from 1 to √2.
    const Bits shifted = (Bits)x + NAME(bits)(0x3FF0000000000000 - 0x3FE6A09E667F3BCD);
    const Lanes mantissa = (Lanes)((shifted & NAME(bits)(0x000FFFFFFFFFFFFF)) + NAME(bits)(0x3FE6A09E667F3BCD));
    // The exponent as a number, by writing it into the last bits of 2⁵².
    const Lanes exponent = (Lanes)((shifted >> 52) | NAME(bits)(0x4330000000000000)) - (0x1p52 + 1023);
    const Lanes s = (mantissa - 1) / (mantissa + 1);
    const Lanes square = s * s;
    Lanes series = NAME(lanes)(2.0 / 21);
    series = series * square + 2.0 / 19;
    series = series * square + 2.0 / 17;
    series = series * square + 2.0 / 15;
    series = series * square + 2.0 / 13;
    series = series * square + 2.0 / 11;
    series = series * square + 2.0 / 9;
    series = series * square + 2.0 / 7;
    series = series * square + 2.0 / 5;
    series = series * square + 2.0 / 3;
    const Lanes low = exponent * 1.90821492927058770002e-10 + s * square * series;
    return exponent * 6.93147180369123816490e-01 + (low + s * 2);
}

// x = n ln 2 + r with |r| ≤ ½ ln 2; the series of eʳ to the 13th power, times 2ⁿ.
INLINE Lanes NAME(exp)(Lanes x) {
    const Lanes bounded = NAME(bounded)(x, -700, 700);
    const Lanes marked = bounded * 1.4426950408889634 + 0x1.8p52;
    const Lanes n = marked - 0x1.8p52;
    const Lanes r = (bounded - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    Lanes series = NAME(lanes)(1.0 / 6227020800);
    series = series * r + 1.0 / 479001600;
    series = series * r + 1.0 / 39916800;
    series = series * r + 1.0 / 3628800;
    series = series * r + 1.0 / 362880;
    series = series * r + 1.0 / 40320;
    series = series * r + 1.0 / 5040;
    series = series * r + 1.0 / 720;
    series = series * r + 1.0 / 120;
    series = series * r + 1.0 / 24;
    series = series * r + 1.0 / 6;
    series = series * r + 0.5;
    series = series * (r * r) + r + 1;
    const Bits power = ((Bits)marked + NAME(bits)(1023)) << 52;
    return series * (Lanes)power;
}

// The nearest quarter turn is taken off; the series of the rest, |r| ≤ π/4, to the 15th and 16th power.
INLINE void NAME(sine_and_cosine)(Lanes turns, Lanes *sine, Lanes *cosine) {
    const Lanes quarters = turns * 4;
    // Adding 1.5 · 2⁵² rounds to a whole number, which then stands in the last bits.
    const Lanes marked = quarters + 0x1.8p52;
    const Bits quadrant = (Bits)marked;
    const Lanes r = (quarters - (marked - 0x1.8p52)) * 1.5707963267948966;
    const Lanes square = r * r;
    Lanes s = NAME(lanes)(-1.0 / 1307674368000);
    s = s * square + 1.0 / 6227020800;
    s = s * square + -1.0 / 39916800;
    s = s * square + 1.0 / 362880;
    s = s * square + -1.0 / 5040;
    s = s * square + 1.0 / 120;
    s = s * square + -1.0 / 6;
    s = r + r * square * s;
    Lanes c = NAME(lanes)(1.0 / 20922789888000);
    c = c * square + -1.0 / 87178291200;
    c = c * square + 1.0 / 479001600;
    c = c * square + -1.0 / 3628800;
    c = c * square + 1.0 / 40320;
    c = c * square + -1.0 / 720;
    c = c * square + 1.0 / 24;
    c = c * square + -0.5;
    c = c * square + 1;
    // In odd quadrants the two change places; the sign bits follow the quadrant.
    const Bits swaps = NAME(bits)(0) - (quadrant & NAME(bits)(1));
    const Bits difference = ((Bits)s ^ (Bits)c) & swaps;
    const Bits sine_sign = (quadrant & NAME(bits)(2)) << 62;
    const Bits cosine_sign = ((quadrant + NAME(bits)(1)) & NAME(bits)(2)) << 62;
    *sine = (Lanes)((Bits)s ^ difference ^ sine_sign);
    *cosine = (Lanes)((Bits)c ^ difference ^ cosine_sign);
}

// Box, Muller 1958, "A note on the generation of random normal deviates", Annals of Mathematical Statistics 29. The
// largest magnitude is √(106 ln 2) = 8.57.
INLINE void NAME(normals)(Lanes first, Lanes second, Lanes *a, Lanes *b) {
    const Lanes radius = __builtin_elementwise_sqrt(NAME(log)(first) * -2);
    Lanes sine, cosine;
    NAME(sine_and_cosine)(second, &sine, &cosine);
    *a = radius * cosine;
    *b = radius * sine;
}

// What the header declares, for this set.

static TARGET void NAME(run_advance)(
    TapedeckWalk walk, double *state, uint64_t path, size_t count, uint64_t first_step, size_t steps, double *tile,
    size_t stride) {
    const Lanes drift = NAME(lanes)(walk.drift), deviation = NAME(lanes)(walk.deviation);
    for (size_t i = 0; i < count; i += 16) {
        Lanes x = *(const Lanes *)(state + i), y = *(const Lanes *)(state + i + 8);
        for (size_t step = 0; step < steps; step++) {
            Bits low, high;
            Lanes a, b;
            NAME(philox)((path + i) / 2, first_step + step, walk.key, &low, &high);
            NAME(normals)(NAME(uniform)(low), NAME(uniform)(high), &a, &b);
            x += drift + deviation * a;
            y += drift + deviation * b;
            double *row = tile + step * stride + i;
            *(Lanes *)row = x;
            *(Lanes *)(row + 8) = y;
        }
        *(Lanes *)(state + i) = x;
        *(Lanes *)(state + i + 8) = y;
    }
}

static TARGET double NAME(run_sum_of_exp)(const double *row, size_t count) {
    Lanes sums = NAME(lanes)(0);
    const size_t whole = count / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) sums += NAME(exp)(*(const Lanes *)(row + i));
    double sum = 0;
    for (int lane = 0; lane < 8; lane++) sum += sums[lane];
    for (size_t i = whole; i < count; i++) sum += NAME(exp)(NAME(lanes)(row[i]))[0];
    return sum;
}

static TARGET void NAME(run_buckets)(
    const double *row, size_t count, double low, double scale, size_t buckets, uint16_t *places, uint32_t *counts) {
    for (size_t i = 0; i < count; i += 8) {
        const Lanes position = (*(const Lanes *)(row + i) - low) * scale;
        const Bits whole = (Bits)(NAME(bounded)(position, 0, (double)(buckets - 1)) + 0x1p52);
        const Narrow place = __builtin_convertvector(whole, Narrow);
        *(Narrow *)(places + i) = place;
        const size_t lanes = count - i < 8 ? count - i : 8;
        for (size_t lane = 0; lane < lanes; lane++) counts[places[i + lane]]++;
    }
}

static TARGET void NAME(run_philox)(
    uint64_t first, uint64_t second, uint64_t key, uint64_t *low, uint64_t *high) {
    NAME(philox)(first, second, key, (Bits *)low, (Bits *)high);
}
static TARGET void NAME(run_uniform)(const uint64_t *bits, double *result, size_t count) {
    for (size_t i = 0; i < count; i += 8) *(Lanes *)(result + i) = NAME(uniform)(*(const Bits *)(bits + i));
}
static TARGET void NAME(run_normals)(
    const double *first, const double *second, double *cosine, double *sine, size_t count) {
    for (size_t i = 0; i < count; i += 8) {
        NAME(normals)
        (*(const Lanes *)(first + i), *(const Lanes *)(second + i), (Lanes *)(cosine + i), (Lanes *)(sine + i));
    }
}
static TARGET void NAME(run_log)(const double *x, double *result, size_t count) {
    for (size_t i = 0; i < count; i += 8) *(Lanes *)(result + i) = NAME(log)(*(const Lanes *)(x + i));
}
static TARGET void NAME(run_exp)(const double *x, double *result, size_t count) {
    for (size_t i = 0; i < count; i += 8) *(Lanes *)(result + i) = NAME(exp)(*(const Lanes *)(x + i));
}
static TARGET void NAME(run_sine_and_cosine)(const double *turns, double *sine, double *cosine, size_t count) {
    for (size_t i = 0; i < count; i += 8) {
        NAME(sine_and_cosine)(*(const Lanes *)(turns + i), (Lanes *)(sine + i), (Lanes *)(cosine + i));
    }
}

#undef Lanes
#undef Bits
#undef Narrow
#undef INLINE
#undef NAME
#undef TARGET
