/* Call the compiled kernel of libnetwork.a with the weights of the network. */
#include "network.h"

#include <stdlib.h>
#include <string.h>

#include "network_kernel.h"

enum {
    BLOCK_PAIRS = @BLOCK_PAIRS@,   /* pairs of LR columns that the kernel computes at least */
    TILE_PAIRS = @TILE_PAIRS@,     /* of a tile, whose line buffers stay in the cache */
    MARGIN_PAIRS = @MARGIN_PAIRS@, /* beside a tile, on which it depends */
    STRIPE_LINES = @STRIPE_LINES@, /* of two LR rows; thinner stripes compute too much twice */
    WORD_BITS = @WORD_BITS@,       /* of what the kernel stores at once */
    WORDS = @WORDS@,               /* in an output row of a pair */
    ROW_BYTES = 2 * ELSR_NETWORK_SCALE * ELSR_NETWORK_CHANNELS /* in the same */
};

static const float parameters[] = {
@PARAMETERS@
};

static int at_least(int value, int bound) { return value > bound ? value : bound; }
static int at_most(int value, int bound) { return value < bound ? value : bound; }

/* A view of memory without gaps; extents begin with the innermost. */
static halide_buffer_t view(const void *host, int type, int bits, int dimensions, const int *extents,
                            halide_dimension_t *dims) {
    halide_buffer_t buffer;
    int stride = 1;
    memset(&buffer, 0, sizeof buffer);
    for (int i = 0; i < dimensions; stride *= extents[i++]) {
        dims[i].min = 0, dims[i].extent = extents[i], dims[i].stride = stride, dims[i].flags = 0;
    }
    buffer.host = (uint8_t *)host;
    buffer.type.code = type, buffer.type.bits = bits, buffer.type.lanes = 1;
    buffer.dimensions = dimensions, buffer.dim = dims;
    return buffer;
}

/* Halide's own would end the process; the call returns the error as well. */
static void keep_going(void *context, const char *message) { (void)context, (void)message; }

int elsr_network(const uint8_t *lr, int width, int height, uint8_t *sr, int threads) {
    const int pairs = at_least((width + 1) / 2, BLOCK_PAIRS), lines = (height + 1) / 2;
    const int tiles = (pairs + TILE_PAIRS - 1) / TILE_PAIRS, blocks = tiles * BLOCK_PAIRS;
    const int tile = at_most(pairs, (pairs + blocks - 1) / blocks * BLOCK_PAIRS);
    const int stripe = at_least((lines + threads - 1) / threads, at_most(lines, STRIPE_LINES));
    const size_t kept = (size_t)width * ROW_BYTES / 2, made = (size_t)pairs * ROW_BYTES;
    const int fits = kept == made && height % 2 == 0;
    uint8_t *pixels = fits ? sr : malloc(2 * lines * ELSR_NETWORK_SCALE * made);
    if (!pixels) return -1;

    const int in[] = {ELSR_NETWORK_CHANNELS, width, height};
    const int all[] = {sizeof parameters / sizeof *parameters};
    const int out[] = {WORDS, pairs, ELSR_NETWORK_SCALE, 2 * lines};
    halide_dimension_t dims[3][4];
    halide_buffer_t image = view(lr, halide_type_uint, 8, 3, in, dims[0]);
    halide_buffer_t weights = view(parameters, halide_type_float, 32, 1, all, dims[1]);
    halide_buffer_t output = view(pixels, halide_type_uint, WORD_BITS, 4, out, dims[2]);
    halide_set_error_handler(keep_going);
    int error = 0;
    for (int begin = 0; begin < pairs && !error; begin += tile) {
        const int start = at_most(begin, pairs - tile), left = at_least(start - MARGIN_PAIRS, 0);
        const int seen = at_most(2 * (start + tile + MARGIN_PAIRS), width) - 2 * left;
        image.host = (uint8_t *)lr + 2 * left * ELSR_NETWORK_CHANNELS;
        image.dim[1].extent = seen;
        output.host = pixels + (size_t)start * ROW_BYTES;
        output.dim[1].min = start - left, output.dim[1].extent = tile;
        error = elsr_network_kernel(&image, &weights, stripe, &output);
    }

    if (!fits) {
        for (int row = 0; row < ELSR_NETWORK_SCALE * height; row++)
            memcpy(sr + row * kept, pixels + row * made, kept);
        free(pixels);
    }
    return error;
}
