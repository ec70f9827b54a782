/* The functions of the library: hashes of pictures, pairs of hashes, and the processor level.
 *
 * All arrays are contiguous unless a stride is given, and belong to the caller. Nothing is checked
 * or allocated here; the Python modules check dtypes, shapes and bounds.
 *
 * The same input gives the same bits on every processor and at every level. Averages of 8-bit
 * pixels are sums of whole numbers, which their type holds exactly in any order of addition, and
 * one division. All other sums are added in the order of the source: a vector holds several
 * independent sums, never parts of one sum. Compilers may neither fuse a product and a sum
 * (-ffp-contract=off) nor reorder sums (no -ffast-math). Of the mathematical library, only rounding,
 * absolute values and square roots are called, which are the same everywhere.
 */
#ifndef IMGDUP_H
#define IMGDUP_H

#include <stdint.h>

#if defined(_WIN32)
#define IMGDUP_EXPORT __declspec(dllexport)
#else
#define IMGDUP_EXPORT __attribute__((visibility("default")))
#endif

/* Change it with any function or structure; imgdup.native has the same number. */
enum { IMGDUP_INTERFACE = 41 };

IMGDUP_EXPORT int imgdup_interface(void);

/* The highest x86-64 level that this processor and its system support: 2, 3, 4 (with
 * AVX-512 VPOPCNTDQ); 1 if not even 2; 0 on other processors. */
IMGDUP_EXPORT int imgdup_processor_level(void);

/* Upright gray pixels of a picture, perhaps at a reduced size. */
typedef struct {
    const void *pixels;    /* (ceil(height / reduction), ceil(width / reduction)) */
    int64_t row_stride;    /* bytes from one row to the next, may be negative; columns adjoin */
    int64_t height, width; /* full size, in pixels; at least 1, at most 2^31 */
    int32_t reduction;     /* one pixel is the mean of so many full pixels squared: 1, 2, 4, 8 */
    int32_t rows_short_first;    /* whether the first row, not the last, is a partial block, ... */
    int32_t columns_short_first; /* ... and the same for columns */
    int32_t is_float;            /* pixels are float, 0 to 255, instead of uint8_t */
} ImgdupPicture;

/* Where to write the hashes of n pictures; a null pointer skips that hash.
 * Bit i of a hash as an integer is the i-th comparison, row by row. */
typedef struct {
    uint64_t *dhash64, *dhash256; /* (n, 1), (n, 4) */
    uint64_t *ahash64, *ahash256; /* (n, 1), (n, 4) */
    uint64_t *phash64, *phash256; /* (n, 1), (n, 4) */
    uint64_t *pdq;                /* (n, 4) */
    uint64_t *match;              /* (n, 4) */
    uint64_t *trimmed;            /* (n, 4): only with match; of what flat borders enclose, or 0 */
    uint8_t *quality;             /* (n,): with match; from 0 (says nothing) to 100 */
} ImgdupHashes;

/* Bytes of scratch memory for pictures whose rows and columns add up to at most this number. */
IMGDUP_EXPORT int64_t imgdup_hash_scratch(int64_t rows_and_columns);

/* Hash n pictures; scratch is aligned to 64 bytes. Pixels that are NaN or far outside 0 to 255
 * give meaningless hashes. */
IMGDUP_EXPORT void imgdup_hash(const ImgdupPicture *pictures, int64_t n,
                               const ImgdupHashes *hashes, void *scratch);

enum { PARTS_PLANES = 4, PARTS_MEAN_WEIGHT = 4 };

/* Compute about the match hashes that a part of each picture has. A picture is taken to have the
 * frequencies `sizes` (16, 16) with the signs of its hash; `rows` and `columns` (16, 16) take those
 * along the columns and along the rows of a picture to those of the part, `columns` transposed. All
 * three hold whole numbers, so small that every sum is exact.
 * match, hashes (n, 4). A frequency weighs its size as a multiple of a quarter of the mean size, at
 * most 15: bit k of the weight is its bit in plane k of planes (PARTS_PLANES, n, 4); weights (n,)
 * are the sums. */
IMGDUP_EXPORT void imgdup_likely_parts(const uint64_t *match, int64_t n, const double *sizes,
                                       const double *rows, const double *columns,
                                       uint64_t *hashes, uint64_t *planes, int64_t *weights);

/* Pairs: a hash is a row of an array (n, words), 64 bits a word; distances are in bits. */

enum {
    JOIN_MAX_WORDS = 16,   /* hashes of up to 1,024 bits */
    JOIN_MAX_MASKS = 4096, /* neighbours of one value of a band */
    JOIN_LANES = 16,       /* hashes compared at once: columns have room for that many more */
    JOIN_TILE = 2048,      /* hashes that fit in the cache while some rows are compared with them */
    JOIN_RUN = 512,        /* slots that a thread reserves at a time */
};

/* The words of `control`: a request to stop, the slots in use, then one row counter per join. */
enum { JOIN_STOP = 0, JOIN_USED = 1, JOIN_FIRST_COUNTER = 2 };

/* The value of a reserved slot that is not used. */
#define JOIN_FREE UINT64_MAX

/* Rows of some hashes, sorted by the value of one band. */
typedef struct {
    const uint64_t *hashes;  /* (n_hashes, words): all hashes */
    const uint32_t *chosen;  /* (n_rows,): which of the hashes is that of a row; NULL: all, by row */
    const uint64_t *columns; /* (n_first, n + JOIN_LANES): what is compared first, sorted */
    const uint32_t *rows;    /* (n,): the row at each position, ascending within a bucket */
    const uint32_t *starts;  /* (n_buckets + 1,): where the bucket of each value begins */
    int64_t n, n_buckets;
} JoinTable;

/* The condition for a pair of one band, and where to write the pairs. */
typedef struct {
    JoinTable left, right;
    int64_t is_self;           /* both tables are the same: compare each pair of positions once */
    int64_t words;             /* of a hash */
    int64_t n_first;           /* columns, which are compared first */
    int64_t max_distance;      /* over all words, inclusive */
    const int64_t *masks;      /* (n_masks,): how the values of the band may differ in a pair */
    int64_t n_masks;           /* at most JOIN_MAX_MASKS */
    const uint64_t *earlier;   /* (n_earlier, words): bits of the earlier bands, ... */
    const uint64_t *radii;     /* (n_earlier,): ... and the distance in which they find a pair */
    int64_t n_earlier;
    int64_t first_row;         /* a packed pair holds left row - first_row << left_shift, ... */
    int64_t left_shift;
    int64_t right_shift;       /* ... right row << right_shift, and the distance */
    int64_t *control;          /* shared by all threads, see JOIN_STOP */
    uint64_t *slots;           /* (n_slots,): packed pairs; control[JOIN_USED] are in use */
    int64_t n_slots;           /* at least JOIN_RUN */
} JoinCall;

/* Gather the bits of a band into values, and count how often each value occurs.
 * hashes (n_hashes, words) and chosen (n,) as in JoinTable, bits (n_bits,) ascending, values (n,):
 * bit k of a value is bit bits[k] of the hash; the counts (2 ** n_bits,) are added to. */
IMGDUP_EXPORT void imgdup_count_values(const uint64_t *hashes, const uint32_t *chosen, int64_t n,
                                       int64_t words, const int64_t *bits, int64_t n_bits,
                                       uint32_t *values, uint32_t *counts);

/* Sort rows first_row, first_row + 1, ... by their values (n,): places (2 ** n_bits,) hold the
 * position of the next row of each value, and are advanced. */
IMGDUP_EXPORT void imgdup_place_rows(const uint32_t *values, int64_t n, int64_t first_row,
                                     uint32_t *places, uint32_t *rows);

/* Fill the columns of a table at positions start..stop from the hashes. Column c holds the exclusive
 * or of the words c, c + n_first, c + 2 * n_first ...: two hashes differ in at least as many bits as
 * their columns. */
IMGDUP_EXPORT void imgdup_copy_columns(const JoinTable *table, int64_t words, int64_t n_first,
                                       int64_t start, int64_t stop, uint64_t *columns);

/* Find a share of the pairs of a band; several threads make the same call.
 * Each thread takes left rows from control[counter]. If no slot is left, control[JOIN_STOP] is set;
 * the caller may also set it. Returns how many pairs of hashes were compared. */
IMGDUP_EXPORT int64_t imgdup_join(const JoinCall *call, int64_t counter);

/* Count the packed pairs (n,) of each part, packed >> shift; counts (n_parts,) are added to. */
IMGDUP_EXPORT void imgdup_count_parts(const uint64_t *packed, int64_t n, int64_t shift,
                                      int64_t n_parts, int64_t *counts);

/* Move the packed pairs (n,) of parts first_part, first_part + 1, ... to out[places[0]...],
 * out[places[1]...], ...; places (n_parts,) are advanced. */
IMGDUP_EXPORT void imgdup_scatter(const uint64_t *packed, int64_t n, int64_t shift,
                                  int64_t first_part, int64_t n_parts, int64_t *places,
                                  uint64_t *out);

/* Find the hashes (n, words) within max_distance of a probe (words,) in some ranges.
 * runs (n_runs, 2) holds where each range begins and ends; positions and distances (capacity,).
 * Returns the number of matches; only the first `capacity` are written. */
IMGDUP_EXPORT int64_t imgdup_scan(const uint64_t *hashes, int64_t words, const int64_t *runs,
                                  int64_t n_runs, const uint64_t *probe, int64_t max_distance,
                                  int64_t *positions, int64_t *distances, int64_t capacity);

/* Do the same for the hashes start to stop - 1 of n, of an even number of words, by their folded
 * form: folded (words / 2, n + JOIN_LANES), word w of which is the exclusive or of the words w and
 * w + words / 2. Two hashes differ in at least as many bits as their folded forms. */
IMGDUP_EXPORT int64_t imgdup_scan_folded(const uint64_t *hashes, const uint64_t *folded, int64_t n,
                                         int64_t words, int64_t start, int64_t stop,
                                         const uint64_t *probe, int64_t max_distance,
                                         int64_t *positions, int64_t *distances, int64_t capacity);

/* Compare n hashes with a probe (words,): distances (n,). */
IMGDUP_EXPORT void imgdup_distances(const uint64_t *hashes, int64_t n, int64_t words,
                                    const uint64_t *probe, uint16_t *distances);

/* Comparing two pictures: a plane is one channel as float (height, width), levels 0 to 255. */

enum { DIFFERENCE_MOMENTS = 6 };

enum { BLUR_REACH = 32 };

/* Write the weighted means of the pixels around each one, of columns first and then of rows: out of the
 * shape of the plane (height, width, channels). weights (reach + 1,) are those of the pixel and of
 * the next ones on either side, at most BLUR_REACH; beyond the edges, a plane is mirrored without
 * its outermost pixels. row (width + 2 reach, channels) is scratch memory. */
IMGDUP_EXPORT void imgdup_blur(const float *plane, int64_t height, int64_t width,
                               int64_t channels, const float *weights, int64_t reach,
                               float *row, float *out);

/* Return the mean squared difference of a plane (height, width) from its blur, as `imgdup_blur` makes
 * it. scratch (2 * (width + reach) + 1024,). */
IMGDUP_EXPORT double imgdup_fine_detail(const float *plane, int64_t height, int64_t width,
                                        const float *weights, int64_t reach, float *scratch);

/* Write a, fine and coarse (n,), times three weights, added up, and cut off at 0 and 255. */
IMGDUP_EXPORT void imgdup_blend(const float *a, const float *fine, const float *coarse, int64_t n,
                                const float *weights, float *blend);

/* The weights of two blurs, as for `imgdup_blur`, and what is added to the sum of squares of a pixel. */
typedef struct {
    const float *fine, *coarse;
    int64_t fine_reach, coarse_reach;
    double damping;
} ImgdupBlurs;

/* Add to plane a (height, width) what a fine and a coarse blur change, each so many times, found (2,),
 * as brings it nearest to plane b by damped least squares, and cut it off at 0 and 255: fitted (height,
 * width). Returns the mean squared difference that is left. planes, for 2 * height * width +
 * 2 * width + 4 * reach of the coarser blur numbers, is scratch memory. */
IMGDUP_EXPORT double imgdup_fit_filter(const float *a, const float *b, int64_t height, int64_t width,
                                       const ImgdupBlurs *blurs, float *planes, float *fitted,
                                       double found[2]);

/* Write the means over the square window around each element of some planes (n_planes, height,
 * width); the side is a power of two, and half of it lies before the element. Beyond the edges,
 * their elements are repeated. scratch (2 * (width + side),). */
IMGDUP_EXPORT void imgdup_window_means(const float *planes, int64_t n_planes, int64_t height,
                                       int64_t width, int64_t side, double *scratch, float *means);

/* Write the means over blocks of side x side pixels; the last ones begin earlier to be whole, but are
 * smaller in a smaller picture: moments (6, ceil(height / side), ceil(width / side)) of a, b, aa, bb, ab and (b - a) squared.
 * columns (6, width) is scratch memory. */
IMGDUP_EXPORT void imgdup_block_moments(const float *a, const float *b, int64_t height,
                                        int64_t width, int64_t side, float *columns,
                                        float *moments);

/* The same of levels, on a grid of another size: moments (6, n_rows, n_columns). The last blocks are
 * repeated, or left out. scratch, for 2 * height * width + 6 * width and 6 numbers of each block, is
 * scratch memory. */
IMGDUP_EXPORT void imgdup_level_moments(const uint8_t *a, const uint8_t *b, int64_t height,
                                        int64_t width, int64_t side, int64_t n_rows,
                                        int64_t n_columns, float *scratch, float *moments);

/* Shrink a picture (height, width, channels) to the rounded averages of equal areas:
 * out (out_height, out_width, channels), of which no side is longer. The sides are at most
 * 2 ** 24 pixels, the channels 4. scratch is memory for (18 + 8 * channels) * (width + 32) numbers. */
IMGDUP_EXPORT void imgdup_shrink(const uint8_t *pixels, int64_t height, int64_t width,
                                 int64_t channels, uint8_t *out, int64_t out_height,
                                 int64_t out_width, uint32_t *scratch);

/* Let this process keep memory that it frees, in blocks of up to 32 MB, where glibc allocates it:
 * to get each page anew takes longer than many a step over its content. */
IMGDUP_EXPORT void imgdup_keep_memory(void);

/* Windows of two pictures, a and b, by moments (6, height, width): the means in each window of what
 * `imgdup_block_moments` averages. The square of a window is the mean of (b - a) squared, or the
 * square of the mean of b - a. It is compared with what is usual for the texture near the window:
 * the largest variance around it. */

/* What is usual in a picture. */
typedef struct {
    int64_t samples;    /* it is found from so many windows, or up to twice as many; those ... */
    float bare;         /* ... with no more texture are left out, ... */
    double many_bare;   /* ... unless the others are at most this share of them */
    double quantile;    /* of the third with the least texture: the usual noise. Of the third with */
                        /* the most: the usual share of the texture that squares beyond noise have */
    double least_noise, least_share; /* count as usual at least, in a picture that is not clean */
    double nearly_all;  /* quantile of the windows that tell whether one stands out, and ... */
    int64_t apart, few; /* ... lie farther from the largest than this, and are so many at least */
    double least_ratio; /* such a quantile, divided by what is usual, counts as this at least */
} ImgdupUsual;

/* Which windows have structure, and which of these agree. */
typedef struct {
    double least;      /* variance of a window with structure in either picture, and ... */
    double mean_share; /* ... how much it is of the mean of all windows, at least */
    float floor;       /* added to the product of both variances, so that none is 0 */
    float correlated;  /* squared correlation that windows which agree exceed */
} ImgdupAgreement;

/* Count the windows (n,) with structure, and those of them that agree, by their moments (6, n).
 * Scratch memory: textures (n,). */
IMGDUP_EXPORT void imgdup_count_agreeing(const float *moments, int64_t n,
                                         const ImgdupAgreement *rules, float *textures,
                                         int64_t counts[2]);

enum { MOST_IN_WINDOW = 128 };

/* Count the same windows of two gray pictures (height, width), of window x window blocks of block x
 * block pixels; a window has at most MOST_IN_WINDOW pixels a side. Scratch memory, for n blocks: sums,
 * of 5 * (n + width) + window numbers, and means, of 6 * n. */
IMGDUP_EXPORT void imgdup_agreement(const uint8_t *first, const uint8_t *second, int64_t height,
                                    int64_t width, int64_t block, int64_t window,
                                    const ImgdupAgreement *rules, int32_t *sums, float *means,
                                    int64_t counts[2]);

/* How much copying explains. */
typedef struct {
    double factor;     /* how often a square may exceed what is usual */
    double most_noise; /* the most that is explained where there is no texture */
    double most_share; /* the most that is explained by texture, as a share of it */
} ImgdupLimits;

/* When a square stands out from nearly all others. */
typedef struct {
    double factor;        /* how often it exceeds theirs; 0: none stands out */
    double least;         /* smaller squares do not stand out, ... */
    double texture_share; /* ... nor those that have no more than this share of the texture nearby */
} ImgdupOutliers;

/* The rules for windows of one size. */
typedef struct {
    ImgdupUsual usual;
    ImgdupLimits squares, means; /* of the mean of the squares, and of the square of the mean */
    ImgdupOutliers outliers, faint, faint_means;
    float even, even_share; /* chroma: the largest square of a mean change where there is no texture,
                               and how much of the variance in the window adds to it */
} ImgdupExcess;

enum { EXCESS_ROOM = 8 };

/* Write the roots of the squares that exceed what copying explains or stand out, and 0 for all other
 * windows: excess (height, width). `clean` is how often the least noise and share count in a clean
 * picture. scratch (7, height * width + EXCESS_ROOM). */
IMGDUP_EXPORT void imgdup_luma_excess(const float *moments, int64_t height, int64_t width,
                                      const ImgdupExcess *rules, double clean, int64_t *scratch,
                                      float *excess);

/* Raise the excess to squares of the chroma, those of both channels added up, that exceed what copying
 * explains or change an even window. luma, red and blue are moments. */
IMGDUP_EXPORT void imgdup_raise_chroma(const float *luma, const float *red, const float *blue,
                                       int64_t height, int64_t width, const ImgdupExcess *rules,
                                       double clean, int64_t *scratch, float *excess);

/* Return the value of n that so many of them precede when they are sorted; at least 0, below n.
 * keys (n,) is scratch memory. */
IMGDUP_EXPORT float imgdup_ranked(const float *values, int64_t n, int64_t rank, uint32_t *keys);

/* Write the excess of the luma in windows of `side` blocks a side, as `imgdup_luma_excess`, from the
 * moments of blocks; also write those of the windows, unless the side is 1. Return whether there is
 * any excess. scratch is also memory for 2 * (width + side) numbers. */
IMGDUP_EXPORT int32_t imgdup_luma_part(const float *moments, int64_t height, int64_t width,
                                       int64_t side, const ImgdupExcess *rules, double clean,
                                       int64_t *scratch, float *windows, float *excess);

/* Raise the excess of the luma to that of the chroma in windows of n_sizes sizes, with 1, 2, 4 and so
 * on blocks a side, and rules for each. luma points to the moments of the windows of each size, red and
 * blue are those of blocks. scratch is that of `imgdup_luma_part`, windows (13, height, width). */
IMGDUP_EXPORT void imgdup_chroma_excess(const float *const luma[], const float *red,
                                        const float *blue, int64_t height, int64_t width,
                                        const ImgdupExcess *rules, int64_t n_sizes, double clean,
                                        int64_t *scratch, float *windows, float *excess);

/* When the shapes in a window are not those of the other picture. */
typedef struct {
    int64_t side;        /* of a window, in blocks */
    float faint;         /* variance of the means of blocks; a window with a shape has more */
    float floor;         /* added to the product of both variances, so that none is 0 */
    float correlated;    /* squared correlation of windows with the same shapes, at least */
    double unlike_share; /* of the windows with shapes; if more are unlike, all of them count. Else: */
    double beside_noise; /* how many times the noise elsewhere the other variance is, at least; ... */
    double quantile;     /* ... of the windows without a shape, which tells the noise; ... */
    double least_noise;  /* ... a mean square that counts as this at least */
    int64_t few;         /* fewer such windows do not tell the noise; then none is unlike */
} ImgdupShapes;

/* Write the roots of the larger variance of windows whose shapes are not in both pictures, however faint
 * they are, and 0 for all others: excess (height, width). Scratch memory: sums (2 * (width + side),)
 * and scratch (12, height, width). */
IMGDUP_EXPORT void imgdup_unlike_shapes(const float *moments, int64_t height, int64_t width,
                                        const ImgdupShapes *rules, double *sums, float *scratch,
                                        float *excess);

/* What is usual of the part of the variance that the other picture does not share. */
typedef struct {
    float floor;        /* added to the product of both variances, so that none is 0 */
    float unlike_share; /* of the variance, that is explained */
    double flat_share;  /* of the windows, those with the least variance, tells the noise: ... */
    double quantile;    /* ... this one of what they do not share, which ... */
    double least_noise; /* ... counts as this mean square at least */
} ImgdupStructure;

/* Write the roots of the part of the larger variance of n windows that both pictures do not share, where
 * it is more than is explained, and 0 for all others: excess (n,). means (6, n); scratch (4, n). */
IMGDUP_EXPORT void imgdup_unlike_structure(const float *means, int64_t n,
                                           const ImgdupStructure *rules,
                                           const ImgdupLimits *limits, float *scratch,
                                           float *excess);

/* Where a gray picture lies in another one. */

/* Return the bytes of scratch memory to search for a part of this size. */
IMGDUP_EXPORT int64_t imgdup_search_scratch(int64_t height, int64_t width);

enum { SEARCH_SIDE = 96, SEARCH_SIZES = 24 };

/* Search for a part (part_height, part_width), of at most 2 ** 24 pixels, in a gray picture
 * (height, width) of at most SEARCH_SIDE a side. sizes (n_sizes, 2) are heights and widths of the
 * part there, the largest first, at least 2 and at most those of either picture. Every second size
 * is tried, then those beside the best; each in pictures of half the size, then around the
 * likeliest places. Returns the largest correlation; place (3,): the number of the size, x, y. */
IMGDUP_EXPORT double imgdup_search(const uint8_t *whole, int64_t height, int64_t width,
                                   const uint8_t *pixels, int64_t part_height, int64_t part_width,
                                   const int64_t *sizes, int64_t n_sizes, void *scratch,
                                   int64_t *place);

/* Write what a gray picture `source` shows of another one, `taken` (height, width), and the pixels of
 * the source with their neighbours, corners (source_height, source_width). The matrix (2, 3) takes
 * (x, y, 1) of the other one to (x, y) of the source, from 0 to 1. Sides are at least 2 pixels. */
IMGDUP_EXPORT void imgdup_take(const uint8_t *source, int64_t source_height, int64_t source_width,
                               int64_t height, int64_t width, const double *matrix,
                               uint32_t *corners, uint8_t *taken);

/* Move a picture over another one, `goal` (height, width), by at most n_rounds steps of weighted
 * least squares. Corners and taken are those of `imgdup_take`; the matrix is refined, and what is
 * taken changes with it. Scratch memory: rows and changes as those of `imgdup_step_sums`. */
IMGDUP_EXPORT void imgdup_refine(const uint32_t *corners, int64_t source_height,
                                 int64_t source_width, const uint8_t *goal, int64_t height,
                                 int64_t width, int64_t n_rounds, float *rows, uint8_t *changes,
                                 double *matrix, uint8_t *taken);

/* Find which pixels of a part (height, width) lie inside a whole. The matrix (2, 3) takes (x, y, 1)
 * of the part to (x, y) of the whole, from 0 to 1; so far beyond these as slack is inside, too.
 * Returns their number. ends (height, 2): of each row, the first one and that behind the last one,
 * equal if there is none; box: left, top, right and bottom of all. Scratch memory: places and row
 * (width,). */
IMGDUP_EXPORT int64_t imgdup_inside(int64_t height, int64_t width, const double *matrix,
                                    double slack, double *places, uint8_t *row, int32_t *ends,
                                    int64_t box[4]);

/* Take from a whole what a box (left, top, right, bottom) of a part shows; both have as many
 * channels, at most 4. The matrix takes a place of the part to one of the whole, as above; the edges
 * of the whole are repeated. Behind the ends of each row of the part, its own pixels are copied.
 * Scratch memory: levels, as many as the whole has and 4 more. */
IMGDUP_EXPORT void imgdup_cut_out(const uint8_t *whole, int64_t whole_height, int64_t whole_width,
                                  const uint8_t *part, int64_t height, int64_t width,
                                  int64_t channels, const double *matrix, const int32_t *ends,
                                  const int64_t box[4], float *levels, uint8_t *taken);

enum { STEP_PARTS = 8, STEP_LANES = 16 };

/* Add up what a step of least squares needs that moves a picture `taken` over another one, `goal`.
 * The parts of a step are x and y times the horizontal slope, this slope, x and y times the
 * vertical slope, this slope, the level, and 1; x and y are from 0 to 1, slopes in levels per side.
 * products (8, 8) of pairs of parts and wanted (8,) of each part with the goal are written. Each
 * pixel counts 1 / (1 + (d / s) ** 2), with d its difference, and s twice the median difference,
 * at least 4. Both sides are at least 2 pixels. rows (8, stride) is scratch memory, zero behind
 * the width; the stride is a multiple of 16. changes is that for height * width bytes. */
IMGDUP_EXPORT void imgdup_step_sums(const uint8_t *taken, const uint8_t *goal, int64_t height,
                                    int64_t width, int64_t stride, float *rows, uint8_t *changes,
                                    double *products, double *wanted);

/* Solve linear equations: the vector (n,) becomes what the matrix (n, n) takes to it. The matrix is
 * overwritten; if it is singular, the solution is not finite. */
IMGDUP_EXPORT void imgdup_solve(double *matrix, double *vector, int64_t n);

/* Gray levels and tone curves. */

/* Write 0.299 R + 0.587 G + 0.114 B of rows of pixels: gray (height, width). */
IMGDUP_EXPORT void imgdup_luma(const uint8_t *rgb, int64_t row_bytes, int64_t height,
                               int64_t width, float *gray);

enum { CURVE_LEVELS = 256, CURVE_REACH = 16, MATCH_ROOM = 2 * CURVE_LEVELS + 2 };

/* Find what each level of a (n,) has become in b (n,), as `imgdup_match_levels`, with equal weights of 1:
 * match (MATCH_ROOM,). */
IMGDUP_EXPORT void imgdup_match_equally(const uint8_t *a, const uint8_t *b, int64_t n, double *match);

/* Find what each level of a (n,) has become in b (n,), and the other way round, by weights (n,):
 * matches (2, MATCH_ROOM). Each holds counts (256,) of the weights, means (256,), 0 where there are
 * none, the sum of all weights, and the mean of the squared differences from the means. */
IMGDUP_EXPORT void imgdup_match_levels(const uint8_t *a, const uint8_t *b, const uint8_t *weights,
                                       int64_t n, double *matches);

/* Write the weight (256,) of the range of the levels of a channel in 3 x 3 pixels, in that picture of a
 * and b (height, width, channels) in which it is larger: out (height, width, channels). rows is scratch
 * memory for 2 * (width + 2) * channels bytes. */
IMGDUP_EXPORT void imgdup_evenness(const uint8_t *a, const uint8_t *b, int64_t height,
                                   int64_t width, int64_t channels, const uint8_t *weights,
                                   uint8_t *rows, uint8_t *out);

/* Count how often each level occurs in some pixels (n,): counts (256,). */
IMGDUP_EXPORT void imgdup_count_levels(const uint8_t *pixels, int64_t n,
                                       int64_t counts[CURVE_LEVELS]);

/* Return the sum over all levels of the counts times the square by which a mean lies farther from the
 * curve (256,) than the slack. */
IMGDUP_EXPORT double imgdup_missed(const double *counts, const double *means, const double *curve,
                                   double slack);

/* Write by how much the means near each level lie off a curve: off (256,), averages by the counts and
 * a kernel (CURVE_REACH + 1,) of the distance; `least` is added to the sum of these weights. */
IMGDUP_EXPORT void imgdup_levels_off(const double *counts, const double *means,
                                     const double *curve, double least, const double *kernel,
                                     double *off);

/* How a curve is fitted. */
typedef struct {
    double clipped_at;   /* levels from black or white that say nothing about the curve, ... */
    double most_clipped; /* ... unless the others are less than this share of the pixels */
    double far_off;      /* levels from the curve, at which one counts half as much */
    int64_t rounds;
} ImgdupCurve;

/* Fit a polynomial of the root of the level, cut off at 0 and 255, to the means: curve (256,). Where
 * there are hardly any pixels, levels stay. */
IMGDUP_EXPORT void imgdup_stiff_curve(const double *counts, const double *means,
                                      const ImgdupCurve *rules, double *curve);

/* Write the nearest ascending curve (256,) to a stiff one that follows each level by its freedom (256,),
 * from 0 to 1, to where the levels near it lie, by the kernel as in `imgdup_levels_off`. */
IMGDUP_EXPORT void imgdup_smooth_curve(const double *counts, const double *means,
                                       const ImgdupCurve *rules, double least,
                                       const double *kernel, const double *freedom,
                                       double *curve);

/* Count the pixels of a (n,) whose levels are counted (256,), and those of them that a curve (256,)
 * takes nearer to b (n,): counts (2,) are added to. */
IMGDUP_EXPORT void imgdup_count_nearer(const uint8_t *a, const uint8_t *b, int64_t n,
                                       const double *curve, const uint8_t *is_counted,
                                       int64_t counts[2]);

/* Take each `apart`-th pixel of each `apart`-th row of a picture (height, width, channels). */
IMGDUP_EXPORT void imgdup_take_every(const uint8_t *pixels, int64_t height, int64_t width,
                                     int64_t channels, int64_t apart, uint8_t *out);

/* Count by how much neighbours in a row differ, in every rows_apart-th row of a picture (height, width,
 * channels), where both are below `end`, and where both are above 255 - end: dark (256,) and bright
 * (256,) are added to. */
IMGDUP_EXPORT void imgdup_end_steps(const uint8_t *pixels, int64_t height, int64_t width,
                                    int64_t channels, int64_t rows_apart, int32_t end,
                                    int64_t *dark, int64_t *bright);

/* Write the ascending values (n,) that lie nearest to some values by weighted least squares. means,
 * totals and ends (n,) are scratch memory. */
IMGDUP_EXPORT void imgdup_ascending(const double *values, const double *weights, int64_t n,
                                    double *means, double *totals, int64_t *ends,
                                    double *nearest);

/* Colours. */

/* Write 0.299 R + 0.587 G + 0.114 B of RGB pixels (n, 3), rounded to whole levels: plane (n,). */
IMGDUP_EXPORT void imgdup_luma_plane(const uint8_t *rgb, int64_t n, float *plane);

/* Write 0.713 (R - luma) + 128 and 0.564 (B - luma) + 128 of RGB pixels (n, 3), of the rounded luma,
 * rounded and cut off at 0 and 255: planes (2, n). */
IMGDUP_EXPORT void imgdup_chroma(const uint8_t *rgb, int64_t n, uint8_t *planes);

/* Return of how many RGB pixels (n, 3) the channels differ by more than some levels. */
IMGDUP_EXPORT int64_t imgdup_count_coloured(const uint8_t *rgb, int64_t n, int32_t neutral);

/* When a picture has no texture. */
typedef struct {
    int64_t side;   /* of a block, in pixels; at most 16. The last ones begin earlier */
    float textured; /* variance; that of a block with texture is above it */
    double share;   /* of such blocks; a smooth picture has fewer */
} ImgdupSmooth;

/* Return whether every second pixel of every second row of a picture (height, width, channels) shows
 * no texture, in the second channel if there are several. */
IMGDUP_EXPORT int32_t imgdup_is_smooth(const uint8_t *pixels, int64_t height, int64_t width,
                                       int64_t channels, const ImgdupSmooth *rules);

/* Curves that one number describes, or two. Counts and means (256,) are of each level; the logarithms
 * (2, 256) are those of the level and of its mean, as shares of white. */

enum { SINGLE_CURVES = 5, PLAIN_CURVES = 2 };

/* Fit a factor, an offset, a gamma, a factor of the distance from 128, and one of that from `middle`:
 * curves (SINGLE_CURVES, 256), cut off at 0 and 255. */
IMGDUP_EXPORT void imgdup_single_curves(const double *counts, const double *means,
                                        const double *logs, double middle,
                                        const ImgdupCurve *rules, double *curves);

/* Fit a factor and an offset, and a gamma: curves (PLAIN_CURVES, 256), as above. Return how many levels
 * count, of which there must be two; otherwise the curves are not finite. */
IMGDUP_EXPORT int64_t imgdup_plain_curves(const double *counts, const double *means,
                                          const double *logs, const ImgdupCurve *rules,
                                          double *curves);

/* Add up the squared differences, at most `most` each, of the levels of b (n,) from those that each
 * curve (n_curves, 256) gives for a (n,): errors (n_curves,). Levels of curves are at most 2^14 from 0. */
IMGDUP_EXPORT void imgdup_curve_errors(const uint8_t *a, const uint8_t *b, int64_t n,
                                       const int32_t *curves, int64_t n_curves, int32_t most,
                                       int64_t *errors);

/* Pixels that are not equal. */

/* Return how many bytes of two pictures (height, row_bytes) differ by at least so many levels, in every
 * rows_apart-th row. */
IMGDUP_EXPORT int64_t imgdup_count_changed(const uint8_t *a, const uint8_t *b, int64_t height,
                                           int64_t row_bytes, int64_t rows_apart, uint8_t least);

/* Add up what turns levels a into levels b (n,), and its squares. */
IMGDUP_EXPORT void imgdup_add_squares(const uint8_t *a, const uint8_t *b, int64_t n,
                                      int64_t sums[2]);

/* Compare two RGB pictures (height, width, 3) in every rows_apart-th row: facts are how many pixels
 * differ, the sum of b - a of each channel, and the sum of its absolute values. */
IMGDUP_EXPORT void imgdup_add_changes(const uint8_t *a, const uint8_t *b, int64_t height,
                                      int64_t width, int64_t rows_apart, int64_t facts[7]);

/* Blocks of 8 x 8 pixels. Those that are not whole are left out; masks (n_blocks,) go row by row. */

enum { MIXED_PLANES = 16 };

/* Mark the blocks of a picture (height, width, channels), whose rows are so many bytes apart, with a level
 * up to limits[0] or from limits[1] on: clipped (n_blocks,). row (width * channels,) is scratch memory. */
IMGDUP_EXPORT void imgdup_clipped_blocks(const uint8_t *pixels, int64_t row_bytes, int64_t height,
                                         int64_t width, int64_t channels, const uint8_t limits[2],
                                         uint8_t *row, uint8_t *clipped);

/* Mark the blocks of a plane (height, width) that are not clipped and have more than the least
 * variance: varied (n_blocks,). */
IMGDUP_EXPORT void imgdup_varied_blocks(const float *plane, int64_t height, int64_t width,
                                        double least, const uint8_t *clipped, uint8_t *varied);

/* Count how many of n values lie on multiples, but 0, of their steps, or by so little off: counts
 * (n_tables,). The steps, above 0, are at these places (n,) of each table, tables (n_tables, 64). */
IMGDUP_EXPORT void imgdup_on_steps(const float *values, const int32_t *places, int64_t n,
                                   const int32_t *tables, int64_t n_tables, double tolerance,
                                   int64_t *counts);

/* Mix up to MIXED_PLANES planes (height, width) and a constant by least squares so that they come nearest
 * to a goal in the judged blocks (n_blocks,); write these blocks of the goal, and the goal less the
 * mixture: shown and errors (n_judged, 64). All planes but the first count less the first; a share of
 * each sum of squares, the ridge, is added to it. */
IMGDUP_EXPORT void imgdup_mixture_errors(const float *goal, const float *const planes[],
                                         int64_t n_planes, int64_t height, int64_t width,
                                         const uint8_t *judged, double ridge, float *shown,
                                         float *errors);

/* Detail and frequencies. */

enum { DETAIL_FREQUENCIES = 8 };

/* How detail is looked for. */
typedef struct {
    const float *cosines; /* (8, 8): the transform of 8 pixels, a row for each frequency */
    int64_t min_side;     /* of what is judged, in pixels; at least 32 */
    double rounding;      /* power of the rounding of levels, which does not count */
    double least_variance; /* of frequencies 1 and 2; less is a flat picture */
    double least_share; /* of the detail in the best of frequencies 1 to 3; less counts in part */
    double sharp;       /* share of the frequencies with detail, of a picture that is not halved */
} ImgdupDetail;

/* Find the row and the column of a plane, 0 to 7, where levels change most between blocks of 8 pixels:
 * start (2,), 0 where there are fewer than `least`, at least 32, of them. */
IMGDUP_EXPORT void imgdup_grid_start(const float *plane, int64_t height, int64_t width,
                                     int64_t least, int64_t start[2]);

/* Return the share of a plane's resolution, along a side, that shows detail. halves is scratch memory
 * for height * width / 2 pixels. */
IMGDUP_EXPORT double imgdup_detail_share(const float *plane, int64_t height, int64_t width,
                                         const ImgdupDetail *rules, float *halves);

/* Frequencies of lines. */

/* Write n_lines rows and as many columns of a picture (height, width), spread evenly, of their middle as
 * many levels as the shorter side: lines (2 n_lines, shorter side). The mean of each line is
 * subtracted, and its levels are weighted. Rows and pixels are so many bytes apart. */
IMGDUP_EXPORT void imgdup_lines(const uint8_t *levels, int64_t row_apart, int64_t pixel_apart,
                                int64_t height, int64_t width, int64_t n_lines,
                                const float *weights, float *lines);

/* Add up the squares of the complex numbers of spectra (n_lines, n, 2) over all lines: powers (n,). */
IMGDUP_EXPORT void imgdup_line_powers(const float *spectra, int64_t n_lines, int64_t n,
                                      double *powers);

#endif
