/* Find out from the processor which instructions it and the system support. */
#include "imgdup.h"

int imgdup_interface(void) {
    return IMGDUP_INTERFACE;
}

#if defined(__x86_64__)

#include <cpuid.h>

enum {
    /* Leaf 1, ECX: SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT; then FMA, MOVBE, OSXSAVE, AVX, F16C. */
    V2_LEAF_1 = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23,
    V3_LEAF_1 = 1 << 12 | 1 << 22 | 1 << 27 | 1 << 28 | 1 << 29,
    /* Leaf 7, EBX: BMI1, AVX2, BMI2. */
    V3_LEAF_7 = 1 << 3 | 1 << 5 | 1 << 8,
    /* Leaf 7, EBX: AVX-512 F, DQ, CD, BW (VL is bit 31); ECX: VPOPCNTDQ. */
    V4_LEAF_7 = 1 << 16 | 1 << 17 | 1 << 28 | 1 << 30,
    V4_LEAF_7_ECX = 1 << 14,
    /* Leaf 0x80000001, ECX: LAHF; then LZCNT. */
    V2_EXTENDED = 1 << 0,
    V3_EXTENDED = 1 << 5,
    /* The registers that the system saves for a thread: SSE and AVX, then AVX-512. */
    SAVES_AVX = 0x6,
    SAVES_AVX512 = 0xe6,
};

static int has(unsigned found, unsigned wanted) {
    return (found & wanted) == wanted;
}

static unsigned saved_registers(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

int imgdup_processor_level(void) {
    unsigned a, b, c, d, b7 = 0, c7 = 0, extended = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 1;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d))
        b7 = c7 = 0;
    if (!__get_cpuid(0x80000001u, &a, &b, &extended, &d))
        extended = 0;
    if (!has(c, V2_LEAF_1) || !has(extended, V2_EXTENDED))
        return 1;
    if (!has(c, V3_LEAF_1) || !has(b7, V3_LEAF_7) || !has(extended, V3_EXTENDED))
        return 2;
    unsigned saved = saved_registers();
    if (!has(saved, SAVES_AVX))
        return 2;
    if (!has(b7, V4_LEAF_7 | 1u << 31) || !has(c7, V4_LEAF_7_ECX) || !has(saved, SAVES_AVX512))
        return 3;
    return 4;
}

#else

int imgdup_processor_level(void) {
    return 0;
}

#endif
