/* Makes JPEG files progressive without touching a coefficient, as `jpegtran -progressive` does.
 *
 *   make_progressive FROM TO
 *
 * Both hold JPEG files one after the other, each behind its length (32 bits, little-endian).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <turbojpeg.h>

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "make_progressive: %s: %s\n", what, detail);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        fail("usage", "make_progressive FROM TO");
    FILE *from = fopen(argv[1], "rb"), *to = fopen(argv[2], "wb");
    if (from == NULL || to == NULL)
        fail("cannot open", from == NULL ? argv[1] : argv[2]);
    tjhandle handle = tj3Init(TJINIT_TRANSFORM);
    if (handle == NULL)
        fail("memory", "none left");
    uint32_t length;
    while (fread(&length, sizeof length, 1, from) == 1) {
        unsigned char *data = malloc(length), *made = NULL;
        size_t made_size = 0;
        if (data == NULL || fread(data, 1, length, from) != length)
            fail("cannot read", argv[1]);
        tjtransform transform;
        memset(&transform, 0, sizeof transform);
        transform.options = TJXOPT_PROGRESSIVE;
        if (tj3Transform(handle, data, length, 1, &made, &made_size, &transform) != 0)
            fail("transform", tj3GetErrorStr(handle));
        uint32_t made_length = (uint32_t)made_size;
        if (fwrite(&made_length, sizeof made_length, 1, to) != 1 || fwrite(made, 1, made_size, to) != made_size)
            fail("cannot write", argv[2]);
        tj3Free(made);
        free(data);
    }
    tj3Destroy(handle);
    if (fclose(to) != 0)
        fail("cannot write", argv[2]);
    return 0;
}
