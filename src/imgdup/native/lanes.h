/* How many sums a loop adds up side by side, so that all levels add in the same order. */
#ifndef LANES_H
#define LANES_H

#include <string.h>

enum {
    LANES = 16,   /* sums side by side: those of a vector */
    CHUNK = 1024, /* pixels whose products are added in float, before the sums are added in double */
#if defined(__AVX512F__)
    WIDTH = 16, /* lanes that a register of this level holds; GCC keeps longer vectors in memory */
#elif defined(__AVX__)
    WIDTH = 8,
#else
    WIDTH = 4,
#endif
};

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float Register __attribute__((vector_size(WIDTH * sizeof(float))));

static inline Register loaded(const float *from) {
    Register lanes;
    memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

static inline void store(Register lanes, float *to) {
    memcpy(to, &lanes, sizeof lanes);
}

#endif
