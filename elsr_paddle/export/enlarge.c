/* Enlarge a picture: enlarge IN OUT, binary PPM for a network on RGB, PGM for one on luma. */
#include <stdio.h>
#include <stdlib.h>

#include "network.h"

int main(int argc, char **argv) {
    const int channels = ELSR_NETWORK_CHANNELS, scale = ELSR_NETWORK_SCALE;
    const char kind = channels == 3 ? '6' : '5';
    char found;
    int width, height;
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!file || fscanf(file, "P%c %d %d 255", &found, &width, &height) != 3 || found != kind ||
        width < 1 || height < 1 || width > 16384 || height > 16384 || fgetc(file) == EOF) {
        fprintf(stderr, "expected a P%c file without comments, and a name for the result\n", kind);
        return 2;
    }
    const size_t size = (size_t)width * height * channels;
    unsigned char *lr = malloc(size), *sr = malloc(size * scale * scale);
    if (!lr || !sr || fread(lr, 1, size, file) != size || elsr_network(lr, width, height, sr, 2)) {
        fprintf(stderr, "%s cannot be read or enlarged\n", argv[1]);
        return 1;
    }
    fclose(file);
    file = fopen(argv[2], "wb");
    if (!file) return perror(argv[2]), 1;
    fprintf(file, "P%c\n%d %d\n255\n", kind, scale * width, scale * height);
    const int whole = fwrite(sr, 1, size * scale * scale, file) == size * scale * scale;
    free(lr), free(sr);
    return fclose(file) || !whole;
}
