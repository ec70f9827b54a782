/* What the library offers: hashes of pictures, and which processor it needs.
 *
 * All arrays are contiguous unless a stride is named, and belong to the caller; nothing is checked
 * here and nothing is allocated. The Python face checks dtypes, shapes and bounds.
 *
 * The same input gives the same bits on every processor and at every level. Averages of 8-bit
 * pixels are sums of whole numbers that their type holds exactly, in whatever order they are
 * added, and one division. All other sums have one order, which the source gives: vectors run
 * along independent sums, never along one. Compilers are told neither to contract a product and a
 * sum (-ffp-contract=off) nor to reorder them (no -ffast-math). No function of a mathematical
 * library is called but rounding, which is exact.
 */
#ifndef IMGDUP_H
#define IMGDUP_H

#include <stdint.h>

#if defined(_WIN32)
#define IMGDUP_EXPORT __declspec(dllexport)
#else
#define IMGDUP_EXPORT __attribute__((visibility("default")))
#endif

/* Changes when any function or structure does; the Python face has the same number. */
enum { IMGDUP_INTERFACE = 1 };

IMGDUP_EXPORT int imgdup_interface(void);

/* The highest x86-64 level that this processor and its system support: 2, 3, 4 (with
 * AVX-512 VPOPCNTDQ); 1 if not even 2; 0 on other processors. */
IMGDUP_EXPORT int imgdup_processor_level(void);

/* Upright gray pixels of a picture, perhaps at a reduced size. */
typedef struct {
    const void *pixels;    /* (ceil(height / reduction), ceil(width / reduction)) */
    int64_t row_stride;    /* bytes from a row to the next, perhaps negative; columns touch */
    int64_t height, width; /* full size, in pixels; at least 1, at most 2^31 */
    int32_t reduction;     /* full pixels a side of what one pixel is the mean of: 1, 2, 4, 8 */
    int32_t rows_short_first;    /* whether the first row is the one that is not full, ... */
    int32_t columns_short_first; /* ... and the first column, instead of the last */
    int32_t is_float;            /* pixels are float, 0 to 255, instead of uint8_t */
} ImgdupPicture;

/* Where the hashes of n pictures go; a null pointer is a hash that nobody asked for.
 * Bit i of a hash as an integer is the i-th comparison, row by row. */
typedef struct {
    uint64_t *dhash64, *dhash256; /* (n, 1), (n, 4) */
    uint64_t *ahash64, *ahash256; /* (n, 1), (n, 4) */
    uint64_t *phash64, *phash256; /* (n, 1), (n, 4) */
    uint64_t *pdq;                /* (n, 4) */
    uint8_t *quality;             /* (n,): that of PDQ, from 0 (flat, or a side under 16) to 100 */
} ImgdupHashes;

/* Bytes of scratch memory for pictures of at most so many rows and columns together. */
IMGDUP_EXPORT int64_t imgdup_hash_scratch(int64_t rows_and_columns);

/* Hash n pictures; scratch is aligned to 64 bytes. Pixels that are no number, or far outside
 * 0 to 255, give hashes that mean nothing. */
IMGDUP_EXPORT void imgdup_hash(const ImgdupPicture *pictures, int64_t n,
                               const ImgdupHashes *hashes, void *scratch);

#endif
