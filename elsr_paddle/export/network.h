/* Enlarge 8-bit pictures by a trained network, compiled for one processor.
 *
 * Made by elsr-paddle. Build network.c with your program and link libnetwork.a, -lpthread -ldl -lm.
 */
#ifndef ELSR_NETWORK_H
#define ELSR_NETWORK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ELSR_NETWORK_SCALE = @SCALE@,      /* how many times it enlarges */
    ELSR_NETWORK_CHANNELS = @CHANNELS@ /* 3: RGB, interleaved; 1: luma (the Y plane), full range */
};

/* Enlarge one picture; rows follow each other without gaps. Calls from several threads are safe.
 *
 * lr        width * height * CHANNELS bytes
 * sr        SCALE * width * SCALE * height * CHANNELS bytes
 * threads   stripes of rows that are computed at the same time; 1 or more
 *
 * Returns 0, or an error of Halide's, or -1 where there is no memory.
 */
int elsr_network(const uint8_t *lr, int width, int height, uint8_t *sr, int threads);

#ifdef __cplusplus
}
#endif
#endif
