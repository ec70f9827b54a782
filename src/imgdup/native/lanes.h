/* How many sums a loop adds up side by side, so that all levels add in the same order. */
#ifndef LANES_H
#define LANES_H

enum {
    LANES = 16,   /* sums side by side: those of a vector */
    CHUNK = 1024, /* pixels whose products are added in float, before the sums are added in double */
};

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));

#endif
