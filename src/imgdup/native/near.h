/* Find which of 16 hashes are near one hash: one function per kind of processor, same result.
 *
 * Compilers compile a generic popcount of vectors badly: without an instruction for it, GCC counts
 * word by word. So each level has its own function; everything else in join.c is plain C.
 */
#ifndef IMGDUP_NEAR_H
#define IMGDUP_NEAR_H

#include <stdint.h>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Bit k is set where hash j + k differs from `one` in at most `limit` bits over n words.
 * Word w of hash j is columns[w * stride + j]; `one` has the same words. */
static ALWAYS_INLINE uint32_t near16(const uint64_t *columns, int64_t stride, int64_t j,
                                     const uint64_t *one, int64_t n, uint64_t limit);

#if defined(__AVX512VPOPCNTDQ__) && defined(__AVX512F__)

static ALWAYS_INLINE uint32_t near16(const uint64_t *columns, int64_t stride, int64_t j,
                                     const uint64_t *one, int64_t n, uint64_t limit) {
    __m512i low = _mm512_setzero_si512(), high = low, most = _mm512_set1_epi64((int64_t)limit);
    for (int64_t w = 0; w < n; w++) {
        __m512i word = _mm512_set1_epi64((int64_t)one[w]);
        const uint64_t *many = columns + w * stride + j;
        __m512i a = _mm512_xor_si512(_mm512_loadu_si512(many), word);
        __m512i b = _mm512_xor_si512(_mm512_loadu_si512(many + 8), word);
        low = _mm512_add_epi64(low, _mm512_popcnt_epi64(a));
        high = _mm512_add_epi64(high, _mm512_popcnt_epi64(b));
    }
    __mmask8 is_low = _mm512_cmple_epu64_mask(low, most);
    __mmask8 is_high = _mm512_cmple_epu64_mask(high, most);
    return (uint32_t)is_low | (uint32_t)is_high << 8;
}

#elif defined(__AVX2__)

/* Count the ones of each byte by a table of 16 half bytes [W. Mula, "SSSE3: fast popcount", 2008]. */
static ALWAYS_INLINE __m256i byte_ones(__m256i bytes) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i half = _mm256_set1_epi8(15);
    __m256i low = _mm256_and_si256(bytes, half);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
}

static ALWAYS_INLINE uint32_t near16(const uint64_t *columns, int64_t stride, int64_t j,
                                     const uint64_t *one, int64_t n, uint64_t limit) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i too_far = _mm256_set1_epi64x((int64_t)limit + 1);
    __m256i is_near[4], any = zero;
    for (int k = 0; k < 4; k++) {
        __m256i ones = zero; /* of each byte, at most 8 * JOIN_MAX_WORDS */
        for (int64_t w = 0; w < n; w++) {
            const uint64_t *many = columns + w * stride + j + 4 * k;
            __m256i word = _mm256_set1_epi64x((int64_t)one[w]);
            __m256i differing = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)many), word);
            ones = _mm256_add_epi8(ones, byte_ones(differing));
        }
        is_near[k] = _mm256_cmpgt_epi64(too_far, _mm256_sad_epu8(ones, zero));
        any = _mm256_or_si256(any, is_near[k]);
    }
    if (_mm256_testz_si256(any, any))
        return 0;
    uint32_t found = 0;
    for (int k = 0; k < 4; k++)
        found |= (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(is_near[k])) << 4 * k;
    return found;
}

#elif defined(__ARM_NEON)

static ALWAYS_INLINE uint32_t near16(const uint64_t *columns, int64_t stride, int64_t j,
                                     const uint64_t *one, int64_t n, uint64_t limit) {
    const uint64x2_t most = vdupq_n_u64(limit);
    uint64x2_t is_near[8], any = vdupq_n_u64(0);
    for (int k = 0; k < 8; k++) {
        uint8x16_t ones = vdupq_n_u8(0); /* of each byte, at most 8 * JOIN_MAX_WORDS */
        for (int64_t w = 0; w < n; w++) {
            uint64x2_t many = vld1q_u64(columns + w * stride + j + 2 * k);
            uint64x2_t differing = veorq_u64(many, vdupq_n_u64(one[w]));
            ones = vaddq_u8(ones, vcntq_u8(vreinterpretq_u8_u64(differing)));
        }
        is_near[k] = vcleq_u64(vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(ones))), most);
        any = vorrq_u64(any, is_near[k]);
    }
    if ((vgetq_lane_u64(any, 0) | vgetq_lane_u64(any, 1)) == 0)
        return 0;
    uint32_t found = 0;
    for (int k = 0; k < 8; k++)
        found |= (uint32_t)((vgetq_lane_u64(is_near[k], 0) & 1) |
                            (vgetq_lane_u64(is_near[k], 1) & 2)) << 2 * k;
    return found;
}

#else

static ALWAYS_INLINE uint32_t near16(const uint64_t *columns, int64_t stride, int64_t j,
                                     const uint64_t *one, int64_t n, uint64_t limit) {
    uint32_t found = 0;
    for (int k = 0; k < 16; k++) {
        uint64_t distance = 0;
        for (int64_t w = 0; w < n; w++)
            distance += (uint64_t)__builtin_popcountll(columns[w * stride + j + k] ^ one[w]);
        found |= (uint32_t)(distance <= limit) << k;
    }
    return found;
}

#endif
#endif
