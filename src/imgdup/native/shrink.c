/* Pictures of a smaller size: each pixel is the average of an equal area, in whole numbers.
 *
 * Rows are added up first, each times its weight, then the columns of these sums. Sides are divided
 * by their common factors, so that the numbers are small: nearly always, 32 bits hold them. */
#include "imgdup.h"

#include <string.h>

enum {
#ifdef __AVX2__
    LANES = 8, /* results are whole numbers, and the same with any number of lanes */
#else
    LANES = 4,
#endif
    MANY = 8, FEW = 4, /* rows that are added up at a time */
    PIXEL = 4,         /* levels of a pixel that is one vector: its channels, or four gray rows */
    MOST_TAPS = 7,     /* of a band */
    SPARE = 64,        /* sums behind a row that may be read; their weights are 0 */
    RGB = 3,           /* channels */
    MOST_SHORT = 257,  /* pixels of a side; 16 bits hold 255 times as much */
    MOST_AREA = 8405023, /* pixels; 32 bits hold 255.5 times as much */
};

typedef uint32_t Lanes __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef uint32_t Pixel __attribute__((vector_size(PIXEL * sizeof(uint32_t))));

/* The input pixels of an output pixel: its first and last one and their weights. */
typedef struct {
    int32_t first, last;
    uint32_t first_weight, last_weight; /* if there is one pixel, the last weight is 0 */
} Span;

/* A side, divided equally: of n_in pixels, each as long as n_out; pixels between the first and the
 * last one of a span have this weight. The next span begins `part` behind the beginning of pixel `at`. */
typedef struct {
    int64_t n_in, n_out, step, rest, at, part;
} Side;

/* How the sums of the columns are added up. A tap is a number at the same place behind the beginning
 * of each vector; in a band, a vector has several output pixels. */
typedef struct {
    int64_t n, channels, taps;
    int is_band;
    Span *spans;       /* (n,) */
    int32_t *starts;   /* of each vector in the sums */
    uint32_t *weights; /* (vectors, taps, LANES), or without LANES if a vector is a pixel */
} Columns;

/* Scratch memory. */
typedef struct {
    uint32_t *sums, *totals;
    uint8_t *averages;
} Memory;

static Side side_of(int64_t n_in, int64_t n_out) {
    int64_t divisor = n_in, rest = n_out;
    while (rest) {
        int64_t next = divisor % rest;
        divisor = rest;
        rest = next;
    }
    n_in /= divisor;
    n_out /= divisor;
    return (Side){n_in, n_out, n_in / n_out, n_in % n_out, 0, 0};
}

static Span next_span(Side *side) {
    int64_t at = side->at, part = side->part;
    side->at += side->step;
    side->part += side->rest;
    if (side->part >= side->n_out) {
        side->part -= side->n_out;
        side->at++;
    }
    int64_t last = side->part ? side->at : side->at - 1;
    if (last == at)
        return (Span){(int32_t)at, (int32_t)at, (uint32_t)side->n_in, 0};
    return (Span){(int32_t)at, (int32_t)last, (uint32_t)(side->n_out - part),
                  (uint32_t)(side->part ? side->part : side->n_out)};
}

/* Add up to FEW levels that are so far apart. */
static inline uint16_t add_few(const uint8_t *at, int64_t apart, const int64_t n) {
    uint16_t sum = 0;
    sum += n > 0 ? at[0] : 0;
    sum += n > 1 ? at[apart] : 0;
    sum += n > 2 ? at[2 * apart] : 0;
    sum += n > 3 ? at[3 * apart] : 0;
    return sum;
}

/* Add up MANY levels that are so far apart, or up to FEW. */
static inline uint16_t add_levels(const uint8_t *at, int64_t apart, const int64_t n) {
    uint16_t sum = add_few(at, apart, n);
    return n > FEW ? (uint16_t)(sum + add_few(at + FEW * apart, apart, n - FEW)) : sum;
}

/* Begin sums with the levels of the first and the last row of a span, and of so many rows behind the
 * first one. Where the numbers of rows and of bits are constants, compilers add up all rows at a time. */
static inline void begin_sums(const uint8_t *levels, int64_t n, Span rows, uint32_t whole,
                              const int64_t n_rows, const int is_short, uint32_t *restrict sums) {
    const uint8_t *first = levels + rows.first * n, *last = levels + rows.last * n;
    for (int64_t x = 0; x < n; x++) {
        uint16_t between = add_levels(first + n + x, n, n_rows);
        uint32_t a = rows.first_weight * first[x], b = rows.last_weight * last[x];
        uint32_t c = whole * between;
        sums[x] = is_short ? (uint16_t)((uint16_t)a + (uint16_t)b + (uint16_t)c) : a + b + c;
    }
}

static inline void begin_rows(const uint8_t *levels, int64_t n, Span rows, uint32_t whole,
                              int64_t n_rows, const int is_short, uint32_t *sums) {
    switch (n_rows) {
    case 0: begin_sums(levels, n, rows, whole, 0, is_short, sums); break;
    case 1: begin_sums(levels, n, rows, whole, 1, is_short, sums); break;
    case 2: begin_sums(levels, n, rows, whole, 2, is_short, sums); break;
    case 3: begin_sums(levels, n, rows, whole, 3, is_short, sums); break;
    case FEW: begin_sums(levels, n, rows, whole, FEW, is_short, sums); break;
    default: begin_sums(levels, n, rows, whole, MANY, is_short, sums);
    }
}

/* Add levels of so many rows to the sums. */
static inline void add_between(const uint8_t *levels, int64_t n, uint32_t whole,
                               const int64_t n_rows, uint32_t *restrict sums) {
    for (int64_t x = 0; x < n; x++)
        sums[x] += whole * add_levels(levels + x, n, n_rows);
}

/* Return how many rows are added up next. */
static int64_t rows_at_once(int64_t left) {
    return left >= MANY ? MANY : left >= FEW ? FEW : left > 0 ? left : 0;
}

/* Write the sums of the levels of some rows of a side times their weights. */
static void add_rows(const uint8_t *levels, int64_t n, Side *side, uint32_t *sums) {
    Span rows = next_span(side);
    uint32_t whole = (uint32_t)side->n_out;
    int64_t n_between = rows.last - rows.first - 1, n_rows = rows_at_once(n_between);
    if (side->n_in <= MOST_SHORT)
        begin_rows(levels, n, rows, whole, n_rows, 1, sums);
    else
        begin_rows(levels, n, rows, whole, n_rows, 0, sums);
    for (int64_t done = n_rows; done < n_between; done += n_rows) {
        const uint8_t *next = levels + (rows.first + 1 + done) * n;
        n_rows = rows_at_once(n_between - done);
        switch (n_rows) {
        case 1: add_between(next, n, whole, 1, sums); break;
        case 2: add_between(next, n, whole, 2, sums); break;
        case 3: add_between(next, n, whole, 3, sums); break;
        case FEW: add_between(next, n, whole, FEW, sums); break;
        default: add_between(next, n, whole, MANY, sums);
        }
    }
}

/* Add up the columns of some vectors of several output pixels. Where the numbers of channels and taps
 * are constants, compilers keep the sums in registers. */
static inline void add_band(const uint32_t *sums, const Columns *columns, const int64_t channels,
                            const int64_t taps, uint32_t *totals) {
    int64_t n = columns->n * channels;
    const uint32_t *weights = columns->weights;
    for (int64_t i = 0; i < n; i += LANES) {
        const uint32_t *at = sums + columns->starts[i / LANES];
        Lanes total = {0};
        for (int64_t tap = 0; tap < taps; tap++, weights += LANES) {
            Lanes sum, weight;
            memcpy(&sum, at + tap * channels, sizeof sum);
            memcpy(&weight, weights, sizeof weight);
            total += sum * weight;
        }
        memcpy(totals + i, &total, sizeof total);
    }
}

static inline void add_taps(const uint32_t *sums, const Columns *columns, const int64_t channels,
                            uint32_t *totals) {
    switch (columns->taps) {
    case 1: add_band(sums, columns, channels, 1, totals); break;
    case 2: add_band(sums, columns, channels, 2, totals); break;
    case 3: add_band(sums, columns, channels, 3, totals); break;
    case 4: add_band(sums, columns, channels, 4, totals); break;
    case 5: add_band(sums, columns, channels, 5, totals); break;
    case 6: add_band(sums, columns, channels, 6, totals); break;
    default: add_band(sums, columns, channels, 7, totals);
    }
}

/* Add up the columns of some output pixels, one by one. */
static inline void add_pixel_taps(const uint32_t *sums, const Columns *columns,
                                  const int64_t channels, const int64_t taps, uint32_t *totals) {
    const uint32_t *weights = columns->weights;
    for (int64_t i = 0; i < columns->n; i++, weights += taps) {
        const uint32_t *at = sums + columns->spans[i].first * channels;
        Pixel total = {0};
        for (int64_t tap = 0; tap < taps; tap++) {
            Pixel sum;
            memcpy(&sum, at + tap * channels, sizeof sum);
            total += sum * weights[tap];
        }
        memcpy(totals + i * channels, &total, sizeof total);
    }
}

static inline void add_pixels(const uint32_t *sums, const Columns *columns, const int64_t channels,
                              uint32_t *totals) {
    switch (columns->taps) {
    case 3: add_pixel_taps(sums, columns, channels, 3, totals); break;
    case 4: add_pixel_taps(sums, columns, channels, 4, totals); break;
    case 5: add_pixel_taps(sums, columns, channels, 5, totals); break;
    default: add_pixel_taps(sums, columns, channels, columns->taps, totals);
    }
}

/* Write averages, rounded, from the sums of areas of less than MOST_AREA. The quotient in float is too
 * small by at most 1. */
static void divide(const uint32_t *totals, int64_t n, int32_t area, uint8_t *restrict out) {
    static const float LESS = 1 - 1.0f / (1 << 21); /* more than all roundings add */
    float scale = LESS / (float)area;
    for (int64_t i = 0; i < n; i++) {
        int32_t total = (int32_t)totals[i] + area / 2;
        int32_t quotient = (int32_t)((float)total * scale);
        out[i] = (uint8_t)(quotient + (total - quotient * area >= area));
    }
}

/* Write a row of averages of areas of any size. */
static void divide_large(const uint32_t *sums, const Columns *columns, uint32_t whole, int64_t area,
                         uint8_t *out) {
    static const double MORE = 1 + 1.0 / ((int64_t)1 << 51); /* more than all roundings take away */
    double scale = MORE / (double)area;
    int64_t channels = columns->channels;
    for (int64_t i = 0; i < columns->n; i++) {
        Span span = columns->spans[i];
        for (int64_t k = 0; k < channels; k++) {
            const uint32_t *at = sums + k;
            int64_t total = 0;
            for (int64_t x = span.first + 1; x < span.last; x++)
                total += at[x * channels];
            total = total * whole + at[span.first * channels] * (int64_t)span.first_weight +
                    at[span.last * channels] * (int64_t)span.last_weight;
            *out++ = (uint8_t)((double)(total + area / 2) * scale);
        }
    }
}

/* Write the weights of a span, so many numbers apart. */
static void write_weights(Span span, uint32_t whole, int64_t apart, uint32_t *weights) {
    int64_t last = span.last - span.first;
    for (int64_t tap = 1; tap < last; tap++)
        weights[tap * apart] = whole;
    weights[last * apart] = span.last_weight;
    weights[0] = span.first_weight;
}

/* Find where vectors of several output pixels begin; return how many taps each of them needs. */
static int64_t begin_band(Columns *columns) {
    int64_t channels = columns->channels, end = columns->n * channels, most = 0;
    int64_t pixel = 0, channel = 0, reach[PIXEL] = {0};
    for (int64_t k = 0; k < channels; k++)
        reach[k] = (k + LANES - 1) / channels;
    for (int64_t i = 0; i < end; i += LANES) {
        int64_t last = pixel + reach[channel];
        last = last < columns->n ? last : columns->n - 1;
        Span first = columns->spans[pixel];
        int64_t taps = columns->spans[last].last - first.first - (last - pixel) + 1;
        most = taps > most ? taps : most;
        columns->starts[i / LANES] = (int32_t)(first.first * channels + channel);
        channel += LANES % channels;
        pixel += LANES / channels + channel / channels;
        channel = channel < channels ? channel : channel - channels;
    }
    return most;
}

/* Write the weights of a band: tap t of lane l is pixel start + t + (pixel of l - pixel of lane 0). */
static void weigh_band(Columns *columns, uint32_t whole) {
    int64_t i = 0, end = columns->n * columns->channels, apart = columns->taps * LANES, start = 0;
    memset(columns->weights, 0, (size_t)((end + LANES - 1) / LANES * apart) * sizeof(uint32_t));
    for (int64_t pixel = 0; pixel < columns->n; pixel++) {
        Span span = columns->spans[pixel];
        for (int64_t k = 0; k < columns->channels; k++, i++) {
            if (i % LANES == 0)
                start = span.first - pixel;
            int64_t tap = span.first - pixel - start;
            write_weights(span, whole, LANES,
                          columns->weights + i / LANES * apart + tap * LANES + i % LANES);
        }
    }
}

static Columns columns_of(Side side, int64_t n, int64_t channels, uint32_t *scratch) {
    Columns columns = {.n = n, .channels = channels, .spans = (Span *)scratch};
    columns.starts = (int32_t *)(columns.spans + n);
    columns.weights = (uint32_t *)columns.starts + n * channels / LANES + 1;
    uint32_t whole = (uint32_t)side.n_out;
    int64_t widest = 0;
    for (int64_t i = 0; i < n; i++) {
        Span span = columns.spans[i] = next_span(&side);
        widest = span.last - span.first < widest ? widest : span.last - span.first + 1;
    }
    columns.taps = begin_band(&columns);
    columns.is_band = columns.taps <= MOST_TAPS;
    if (columns.is_band) {
        weigh_band(&columns, whole);
        return columns;
    }
    columns.taps = widest;
    memset(columns.weights, 0, (size_t)(n * columns.taps) * sizeof(uint32_t));
    for (int64_t i = 0; i < n; i++)
        write_weights(columns.spans[i], whole, 1, columns.weights + i * columns.taps);
    return columns;
}

/* Shrink a gray picture, PIXEL rows at a time. */
static void shrink_gray(const uint8_t *levels, int64_t width, Side side, int64_t out_height,
                        const Columns *columns, int32_t area, Memory memory, uint8_t *out) {
    uint32_t *mixed = memory.sums + PIXEL * width;
    uint8_t *averages = memory.averages;
    memset(memory.sums, 0, (size_t)(2 * PIXEL * width + SPARE) * sizeof(uint32_t));
    for (int64_t y = 0; y < out_height; y += PIXEL) {
        int64_t n_rows = out_height - y < PIXEL ? out_height - y : PIXEL;
        for (int64_t k = 0; k < n_rows; k++)
            add_rows(levels, width, &side, memory.sums + k * width);
        for (int64_t x = 0; x < width; x++)
            for (int64_t k = 0; k < PIXEL; k++)
                mixed[x * PIXEL + k] = memory.sums[k * width + x];
        add_pixels(mixed, columns, PIXEL, memory.totals);
        divide(memory.totals, columns->n * PIXEL, area, averages);
        for (int64_t k = 0; k < n_rows; k++, out += columns->n)
            for (int64_t x = 0; x < columns->n; x++)
                out[x] = averages[x * PIXEL + k];
    }
}

static void add_columns(const uint32_t *sums, const Columns *columns, uint32_t *totals) {
    int64_t channels = columns->channels;
    if (columns->is_band && channels == 1)
        add_taps(sums, columns, 1, totals);
    else if (columns->is_band && channels == RGB)
        add_taps(sums, columns, RGB, totals);
    else if (columns->is_band)
        add_taps(sums, columns, channels, totals);
    else if (channels == RGB)
        add_pixels(sums, columns, RGB, totals);
    else
        add_pixels(sums, columns, channels, totals);
}

void imgdup_shrink(const uint8_t *pixels, int64_t height, int64_t width, int64_t channels,
                   uint8_t *out, int64_t out_height, int64_t out_width, uint32_t *scratch) {
    Side side = side_of(height, out_height), across = side_of(width, out_width);
    int64_t area = side.n_in * across.n_in, n = width * channels, n_out = out_width * channels;
    Memory memory = {.sums = scratch};
    memory.totals = scratch + 2 * PIXEL * width + SPARE;
    memory.averages = (uint8_t *)(memory.totals + PIXEL * out_width + SPARE);
    Columns columns = columns_of(across, out_width, channels,
                                 memory.totals + (PIXEL + 1) * out_width + SPARE);
    if (area <= MOST_AREA && channels == 1 && !columns.is_band) {
        shrink_gray(pixels, width, side, out_height, &columns, (int32_t)area, memory, out);
        return;
    }
    memset(memory.sums + n, 0, SPARE * sizeof(uint32_t));
    for (int64_t y = 0; y < out_height; y++, out += n_out) {
        add_rows(pixels, n, &side, memory.sums);
        if (area > MOST_AREA) {
            divide_large(memory.sums, &columns, (uint32_t)across.n_out, area, out);
            continue;
        }
        add_columns(memory.sums, &columns, memory.totals);
        divide(memory.totals, n_out, (int32_t)area, out);
    }
}
