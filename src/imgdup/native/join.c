/* The join of two tables of hashes by one band, its preparation and the sorting after it; see
 * imgdup.h. */
#include "imgdup.h"
#include "near.h"

#include <string.h>

enum {
    BLOCK = 2048,         /* hashes whose bits are gathered at a time */
    CHUNK = 64,           /* left rows that a thread takes at a time */
    TILE_HITS = JOIN_TILE / JOIN_LANES, /* most hits of one row in a tile */
    MAX_HITS = 2048,      /* hits that a thread collects */
    MAX_PAIRS = 128,      /* pairs whose hashes are prefetched at a time */
    AHEAD = 16,           /* how many steps ahead memory is prefetched */
};

/* Left position, the first of 16 right positions, and which of these are near. */
typedef struct {
    uint32_t left, right, lanes;
} Hit;

/* Rows. */
typedef struct {
    int64_t left, right;
} Pair;

/* The memory of one thread. */
typedef struct {
    uint32_t starts[JOIN_MAX_MASKS], stops[JOIN_MAX_MASKS]; /* neighbouring buckets */
    Hit hits[MAX_HITS];
    Pair pairs[MAX_PAIRS];
    int64_t n_hits;
    int64_t slot, end; /* the next free slot and the end of the reserved ones */
} Scratch;

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Return where a row is among the hashes. */
static ALWAYS_INLINE int64_t place_of(const uint32_t *chosen, int64_t row) {
    return chosen ? chosen[row] : row;
}

void imgdup_count_values(const uint64_t *hashes, const uint32_t *chosen, int64_t n, int64_t words,
                         const int64_t *bits, int64_t n_bits, uint32_t *values,
                         uint32_t *counts) {
    uint64_t column[BLOCK], gathered[BLOCK];
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t m = smaller(BLOCK, n - start), word = -1;
        memset(gathered, 0, sizeof gathered);
        for (int64_t k = 0; k < n_bits; k++) {
            if (bits[k] / 64 != word) {
                word = bits[k] / 64;
                for (int64_t i = 0; i < m; i++)
                    column[i] = hashes[place_of(chosen, start + i) * words + word];
            }
            int right = (int)(bits[k] % 64), left = (int)k;
            for (int64_t i = 0; i < m; i++)
                gathered[i] |= (column[i] >> right & 1) << left;
        }
        for (int64_t i = 0; i < m; i++) {
            values[start + i] = (uint32_t)gathered[i];
            counts[gathered[i]]++;
        }
    }
}

void imgdup_place_rows(const uint32_t *values, int64_t n, int64_t first_row, uint32_t *places,
                       uint32_t *rows) {
    for (int64_t i = 0; i < n; i++)
        rows[places[values[i]]++] = (uint32_t)(first_row + i);
}

/* The same for a constant number of columns and words. */
static ALWAYS_INLINE void copy_some(const JoinTable *table, int64_t words, int64_t n_first,
                                    int64_t start, int64_t stop, uint64_t *columns) {
    const uint64_t *hashes = table->hashes;
    const uint32_t *chosen = table->chosen, *rows = table->rows;
    int64_t stride = table->n + JOIN_LANES;
    for (int64_t position = start; position < stop; position++) {
        if (position + AHEAD < stop)
            __builtin_prefetch(hashes + place_of(chosen, rows[position + AHEAD]) * words);
        const uint64_t *hash = hashes + place_of(chosen, rows[position]) * words;
        for (int64_t c = 0; c < n_first; c++) {
            uint64_t mixed = hash[c];
            for (int64_t w = c + n_first; w < words; w += n_first)
                mixed ^= hash[w];
            columns[c * stride + position] = mixed;
        }
    }
}

void imgdup_copy_columns(const JoinTable *table, int64_t words, int64_t n_first, int64_t start,
                         int64_t stop, uint64_t *columns) {
    if (words == 1)
        copy_some(table, 1, 1, start, stop, columns);
    else if (words == 4 && n_first == 2)
        copy_some(table, 4, 2, start, stop, columns);
    else
        copy_some(table, words, n_first, start, stop, columns);
}

/* Reserve the next free slots; if there are none, stop all threads and reuse slots. */
static int64_t reserve(const JoinCall *call) {
    int64_t slot = __atomic_fetch_add(&call->control[JOIN_USED], JOIN_RUN, __ATOMIC_RELAXED);
    if (slot + JOIN_RUN > call->n_slots) {
        __atomic_fetch_add(&call->control[JOIN_STOP], 1, __ATOMIC_RELAXED);
        return 0;
    }
    return slot;
}

/* Pack a pair; if both rows are of one set, the smaller row is first. */
static uint64_t packed(const JoinCall *call, Pair pair, uint64_t distance) {
    int64_t left = call->is_self ? smaller(pair.left, pair.right) : pair.left;
    int64_t right = call->is_self ? larger(pair.left, pair.right) : pair.right;
    return (uint64_t)(left - call->first_row) << call->left_shift |
           (uint64_t)right << call->right_shift | distance;
}

/* Return whether no earlier band finds a pair that differs in these bits. */
static ALWAYS_INLINE int is_ours(const JoinCall *call, const uint64_t *differing, int64_t words) {
    int found_earlier = 0;
    for (int64_t e = 0; e < call->n_earlier; e++) {
        uint64_t in_band = 0;
        for (int64_t w = 0; w < words; w++)
            in_band += (uint64_t)__builtin_popcountll(differing[w] & call->earlier[e * words + w]);
        found_earlier |= in_band <= call->radii[e];
        if (words > 1 && found_earlier) /* for one word, a wrong prediction takes longer */
            break;
    }
    return !found_earlier;
}

/* Write a pair of rows that is near in all words, unless an earlier band finds it. */
static ALWAYS_INLINE void keep_pair(const JoinCall *call, const uint64_t *differing, Pair pair,
                                    int64_t words, Scratch *scratch) {
    uint64_t distance = 0;
    for (int64_t w = 0; w < words; w++)
        distance += (uint64_t)__builtin_popcountll(differing[w]);
    if (distance > (uint64_t)call->max_distance)
        return;
    if (scratch->slot == scratch->end) {
        scratch->slot = reserve(call);
        scratch->end = scratch->slot + JOIN_RUN;
    }
    call->slots[scratch->slot] = packed(call, pair, distance);
    scratch->slot += is_ours(call, differing, words);
}

/* Write the hits if the columns hold the whole hashes. */
static ALWAYS_INLINE void keep_columns(const JoinCall *call, int64_t words, Scratch *scratch) {
    const JoinTable *left = &call->left, *right = &call->right;
    uint64_t differing[JOIN_MAX_WORDS];
    for (int64_t h = 0; h < scratch->n_hits; h++) {
        int64_t i = scratch->hits[h].left;
        for (uint32_t lanes = scratch->hits[h].lanes; lanes != 0; lanes &= lanes - 1) {
            int64_t j = scratch->hits[h].right + (int64_t)__builtin_ctz(lanes);
            for (int64_t w = 0; w < words; w++)
                differing[w] = left->columns[w * (left->n + JOIN_LANES) + i] ^
                               right->columns[w * (right->n + JOIN_LANES) + j];
            keep_pair(call, differing, (Pair){left->rows[i], right->rows[j]}, words, scratch);
        }
    }
}

/* Return the hash of a row. */
static ALWAYS_INLINE const uint64_t *hash_of(const JoinTable *table, int64_t row, int64_t words) {
    return table->hashes + place_of(table->chosen, row) * words;
}

/* Write those of some pairs that are near in all words; the words are read from the hashes. */
static ALWAYS_INLINE void keep_pairs(const JoinCall *call, int64_t n_pairs, int64_t words,
                                     Scratch *scratch) {
    uint64_t differing[JOIN_MAX_WORDS];
    for (int64_t k = 0; k < n_pairs; k++) {
        Pair pair = scratch->pairs[k];
        const uint64_t *left = hash_of(&call->left, pair.left, words);
        const uint64_t *right = hash_of(&call->right, pair.right, words);
        for (int64_t w = 0; w < words; w++)
            differing[w] = left[w] ^ right[w];
        keep_pair(call, differing, pair, words, scratch);
    }
}

/* Prefetch a hash; it may be in two lines of the cache. */
static ALWAYS_INLINE void prefetch(const uint64_t *hash, int64_t words) {
    __builtin_prefetch(hash);
    __builtin_prefetch(hash + words - 1);
}

/* Write the hits whose hashes must be fetched: prefetch the hashes of some pairs at a time. */
static ALWAYS_INLINE void keep_rows(const JoinCall *call, int64_t words, Scratch *scratch) {
    int64_t n_pairs = 0;
    for (int64_t h = 0; h < scratch->n_hits; h++) {
        Hit hit = scratch->hits[h];
        int64_t a = call->left.rows[hit.left];
        prefetch(hash_of(&call->left, a, words), words);
        for (uint32_t lanes = hit.lanes; lanes != 0; lanes &= lanes - 1) {
            int64_t b = call->right.rows[hit.right + (uint32_t)__builtin_ctz(lanes)];
            prefetch(hash_of(&call->right, b, words), words);
            scratch->pairs[n_pairs++] = (Pair){a, b};
        }
        if (n_pairs > MAX_PAIRS - JOIN_LANES) {
            keep_pairs(call, n_pairs, words, scratch);
            n_pairs = 0;
        }
    }
    keep_pairs(call, n_pairs, words, scratch);
}

/* Write the hits that are near in all words and that no earlier band finds. */
static void keep(const JoinCall *call, Scratch *scratch) {
    if (call->words == 1)
        keep_columns(call, 1, scratch);
    else if (call->n_first == call->words)
        keep_columns(call, call->words, scratch);
    else if (call->words == 4)
        keep_rows(call, 4, scratch);
    else
        keep_rows(call, call->words, scratch);
    scratch->n_hits = 0;
}

/* List the buckets near `value` that are not empty, without a branch to predict. */
static int64_t find_spans(const JoinCall *call, int64_t value, Scratch *scratch) {
    const uint32_t *starts = call->right.starts;
    int64_t n_spans = 0, lowest = call->is_self ? value : 0;
    for (int64_t k = 0; k < call->n_masks; k++) {
        int64_t near_value = value ^ call->masks[k];
        uint32_t start = starts[near_value], stop = starts[near_value + 1];
        scratch->starts[n_spans] = start;
        scratch->stops[n_spans] = stop;
        n_spans += (stop > start) & (near_value >= lowest);
    }
    return n_spans;
}

/* Compare one left position with right positions first..last, at most a tile of them. */
static ALWAYS_INLINE void compare_row(const JoinCall *call, int64_t i, int64_t first,
                                      int64_t last, int64_t n_first, Scratch *scratch) {
    const uint64_t *columns = call->right.columns;
    int64_t stride = call->right.n + JOIN_LANES, n_hits = scratch->n_hits;
    uint64_t one[JOIN_MAX_WORDS], limit = (uint64_t)call->max_distance;
    for (int64_t w = 0; w < n_first; w++)
        one[w] = call->left.columns[w * (call->left.n + JOIN_LANES) + i];
    for (int64_t j = first; j < last; j += JOIN_LANES) {
        uint32_t found = near16(columns, stride, j, one, n_first, limit);
        if (n_first > 1 && found == 0) /* for one word, hits are too frequent to predict */
            continue;
        found &= (1U << smaller(last - j, JOIN_LANES)) - 1;
        scratch->hits[n_hits] = (Hit){(uint32_t)i, (uint32_t)j, found};
        n_hits += found != 0;
    }
    scratch->n_hits = n_hits;
}

/* Compare left positions start..stop, which have the same value, with their neighbours. */
static ALWAYS_INLINE int64_t compare_bucket(const JoinCall *call, int64_t value, int64_t start,
                                            int64_t stop, int64_t n_first, Scratch *scratch) {
    int64_t n_compared = 0, n_spans = find_spans(call, value, scratch);
    for (int64_t s = 0; s < n_spans; s++) {
        int64_t span_stop = scratch->stops[s];
        for (int64_t tile = scratch->starts[s]; tile < span_stop; tile += JOIN_TILE) {
            int64_t last = smaller(tile + JOIN_TILE, span_stop);
            for (int64_t i = start; i < stop; i++) {
                int64_t first = call->is_self ? larger(tile, i + 1) : tile;
                n_compared += larger(0, last - first);
                compare_row(call, i, first, last, n_first, scratch);
                if (scratch->n_hits > MAX_HITS - TILE_HITS - 1)
                    keep(call, scratch);
            }
        }
    }
    return n_compared;
}

/* Find the value of the bucket that holds a position. */
static int64_t value_at(const JoinTable *table, int64_t position) {
    int64_t low = 0, high = table->n_buckets; /* starts[low] <= position < starts[high] */
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (table->starts[middle] <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Compare left positions start..stop with their neighbours. */
static ALWAYS_INLINE int64_t compare_rows(const JoinCall *call, int64_t start, int64_t stop,
                                          int64_t n_first, Scratch *scratch) {
    const uint32_t *starts = call->left.starts;
    int64_t n_compared = 0, value = value_at(&call->left, start);
    while (start < stop) {
        while (starts[value + 1] <= start)
            value++;
        int64_t end = smaller(stop, starts[value + 1]);
        n_compared += compare_bucket(call, value, start, end, n_first, scratch);
        start = end;
    }
    return n_compared;
}

/* The same, compiled once for each usual number of words. */
static int64_t compare_chunk(const JoinCall *call, int64_t start, int64_t stop, Scratch *scratch) {
    switch (call->n_first) {
    case 1:
        return compare_rows(call, start, stop, 1, scratch);
    case 2:
        return compare_rows(call, start, stop, 2, scratch);
    case 4:
        return compare_rows(call, start, stop, 4, scratch);
    default:
        return compare_rows(call, start, stop, call->n_first, scratch);
    }
}

int64_t imgdup_join(const JoinCall *call, int64_t counter) {
    Scratch scratch;
    int64_t *control = call->control, n_rows = call->left.n, n_compared = 0;
    scratch.n_hits = scratch.slot = scratch.end = 0;
    while (__atomic_load_n(&control[JOIN_STOP], __ATOMIC_RELAXED) == 0) {
        int64_t start = __atomic_fetch_add(&control[counter], CHUNK, __ATOMIC_RELAXED);
        if (start >= n_rows)
            break;
        n_compared += compare_chunk(call, start, smaller(start + CHUNK, n_rows), &scratch);
    }
    keep(call, &scratch);
    for (int64_t slot = scratch.slot; slot < scratch.end; slot++)
        call->slots[slot] = JOIN_FREE;
    return n_compared;
}

void imgdup_count_parts(const uint64_t *packed, int64_t n, int64_t shift, int64_t n_parts,
                        int64_t *counts) {
    for (int64_t i = 0; i < n; i++) { /* the part of a free slot is larger than all others */
        uint64_t part = packed[i] >> shift;
        if (part < (uint64_t)n_parts)
            counts[part]++;
    }
}

void imgdup_scatter(const uint64_t *packed, int64_t n, int64_t shift, int64_t first_part,
                    int64_t n_parts, int64_t *places, uint64_t *out) {
    for (int64_t i = 0; i < n; i++) {
        uint64_t part = (packed[i] >> shift) - (uint64_t)first_part;
        if (part < (uint64_t)n_parts)
            out[places[part]++] = packed[i];
    }
}

static ALWAYS_INLINE int64_t distance_of(const uint64_t *hash, const uint64_t *probe,
                                         int64_t words) {
    int64_t distance = 0;
    for (int64_t w = 0; w < words; w++)
        distance += __builtin_popcountll(hash[w] ^ probe[w]);
    return distance;
}

typedef struct {
    int64_t *positions, *distances;
    int64_t capacity, n;
} Found;

static ALWAYS_INLINE void add_found(Found *found, int64_t position, int64_t distance) {
    if (found->n < found->capacity) {
        found->positions[found->n] = position;
        found->distances[found->n] = distance;
    }
    found->n++;
}

/* Scan hashes start..stop of one word, 16 at a time. */
static void scan_one_word(const uint64_t *hashes, int64_t start, int64_t stop,
                          const uint64_t *probe, int64_t max_distance, Found *found) {
    int64_t position = start;
    for (; position + JOIN_LANES <= stop; position += JOIN_LANES) {
        uint32_t near = near16(hashes, 0, position, probe, 1, (uint64_t)max_distance);
        for (; near != 0; near &= near - 1) {
            int64_t each = position + __builtin_ctz(near);
            add_found(found, each, distance_of(hashes + each, probe, 1));
        }
    }
    for (; position < stop; position++) {
        int64_t distance = distance_of(hashes + position, probe, 1);
        if (distance <= max_distance)
            add_found(found, position, distance);
    }
}

/* Scan hashes start..stop of any width, one by one. */
static ALWAYS_INLINE void scan_words(const uint64_t *hashes, int64_t start, int64_t stop,
                                     int64_t words, const uint64_t *probe, int64_t max_distance,
                                     Found *found) {
    for (int64_t position = start; position < stop; position++) {
        int64_t distance = distance_of(hashes + position * words, probe, words);
        if (__builtin_expect(distance <= max_distance, 0))
            add_found(found, position, distance);
    }
}

int64_t imgdup_scan(const uint64_t *hashes, int64_t words, const int64_t *runs, int64_t n_runs,
                    const uint64_t *probe, int64_t max_distance, int64_t *positions,
                    int64_t *distances, int64_t capacity) {
    Found found = {positions, distances, capacity, 0};
    for (int64_t run = 0; run < n_runs; run++) {
        int64_t start = runs[2 * run], stop = runs[2 * run + 1];
        if (words == 1)
            scan_one_word(hashes, start, stop, probe, max_distance, &found);
        else if (words == 4)
            scan_words(hashes, start, stop, 4, probe, max_distance, &found);
        else
            scan_words(hashes, start, stop, words, probe, max_distance, &found);
    }
    return found.n;
}

/* Scan the folded form of hashes start..stop, 16 at a time, and compare those that may be near. */
static ALWAYS_INLINE void scan_halves(const uint64_t *hashes, const uint64_t *folded,
                                      int64_t stride, int64_t half, int64_t start, int64_t stop,
                                      const uint64_t *probe, int64_t max_distance, Found *found) {
    uint64_t one[JOIN_MAX_WORDS / 2];
    for (int64_t w = 0; w < half; w++)
        one[w] = probe[w] ^ probe[w + half];
    for (int64_t position = start; position < stop; position += JOIN_LANES) {
        uint32_t near = near16(folded, stride, position, one, half, (uint64_t)max_distance);
        if (stop - position < JOIN_LANES)
            near &= (1u << (stop - position)) - 1;
        for (; near != 0; near &= near - 1) {
            int64_t each = position + __builtin_ctz(near);
            int64_t distance = distance_of(hashes + each * 2 * half, probe, 2 * half);
            if (distance <= max_distance)
                add_found(found, each, distance);
        }
    }
}

int64_t imgdup_scan_folded(const uint64_t *hashes, const uint64_t *folded, int64_t n, int64_t words,
                           int64_t start, int64_t stop, const uint64_t *probe, int64_t max_distance,
                           int64_t *positions, int64_t *distances, int64_t capacity) {
    Found found = {positions, distances, capacity, 0};
    if (words == 4)
        scan_halves(hashes, folded, n + JOIN_LANES, 2, start, stop, probe, max_distance, &found);
    else
        scan_halves(hashes, folded, n + JOIN_LANES, words / 2, start, stop, probe, max_distance,
                    &found);
    return found.n;
}

void imgdup_distances(const uint64_t *hashes, int64_t n, int64_t words, const uint64_t *probe,
                      uint16_t *distances) {
    if (words == 1)
        for (int64_t i = 0; i < n; i++)
            distances[i] = (uint16_t)distance_of(hashes + i, probe, 1);
    else if (words == 4)
        for (int64_t i = 0; i < n; i++)
            distances[i] = (uint16_t)distance_of(hashes + 4 * i, probe, 4);
    else
        for (int64_t i = 0; i < n; i++)
            distances[i] = (uint16_t)distance_of(hashes + words * i, probe, words);
}
