/* The yardstick: libjpeg-turbo in a bare loop. Nothing but tj3Decompress8 to RGB (CMYK as it is), from memory, into one
 * reused buffer a thread.
 *
 *   decode_loop FILE THREADS reused|fresh
 *
 * FILE holds JPEG files one after the other, each behind its length (32 bits, little-endian). The last argument says whether
 * a thread keeps one decompressor for all images or makes one for each.
 *
 * It answers lines of standard input with lines of JSON: "go" decodes all images once and tells the seconds of the loop and
 * of the processor, "pixels PATH" writes all pixels to PATH, in order. It ends with its input.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <turbojpeg.h>

struct image {
    const unsigned char *data;
    size_t size;
};

static struct image *images;
static size_t n_images;
static size_t largest_bytes;
static int fresh;
static atomic_size_t next_image;

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "decode_loop: %s: %s\n", what, detail);
    exit(1);
}

static void *checked(void *memory)
{
    if (memory == NULL)
        fail("memory", "none left");
    return memory;
}

static tjhandle make_handle(void)
{
    return checked(tj3Init(TJINIT_DECOMPRESS));
}

static enum TJPF pixel_format(tjhandle handle)
{
    int space = tj3Get(handle, TJPARAM_COLORSPACE);
    return space == TJCS_CMYK || space == TJCS_YCCK ? TJPF_CMYK : TJPF_RGB;
}

/* Bytes that an image's pixels have. */
static size_t read_header(tjhandle handle, const struct image *image)
{
    if (tj3DecompressHeader(handle, image->data, image->size) != 0)
        fail("header", tj3GetErrorStr(handle));
    size_t pixels = (size_t)tj3Get(handle, TJPARAM_JPEGWIDTH) * (size_t)tj3Get(handle, TJPARAM_JPEGHEIGHT);
    return pixels * (size_t)tjPixelSize[pixel_format(handle)];
}

static size_t decode(tjhandle handle, const struct image *image, unsigned char *buffer)
{
    size_t size_bytes = read_header(handle, image);
    if (tj3Decompress8(handle, image->data, image->size, buffer, 0, pixel_format(handle)) != 0)
        fail("decode", tj3GetErrorStr(handle));
    return size_bytes;
}

static void *decode_images(void *buffer)
{
    tjhandle handle = fresh ? NULL : make_handle();
    size_t i;
    while ((i = atomic_fetch_add(&next_image, 1)) < n_images) {
        if (fresh)
            handle = make_handle();
        decode(handle, &images[i], buffer);
        if (fresh)
            tj3Destroy(handle);
    }
    if (!fresh)
        tj3Destroy(handle);
    return NULL;
}

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void go(int n_threads, unsigned char **buffers)
{
    double began = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    pthread_t threads[n_threads];
    atomic_store(&next_image, 0);
    for (int t = 1; t < n_threads; t++)
        if (pthread_create(&threads[t], NULL, decode_images, buffers[t]) != 0)
            fail("threads", "cannot be started");
    decode_images(buffers[0]);
    for (int t = 1; t < n_threads; t++)
        pthread_join(threads[t], NULL);
    printf("{\"seconds\": %.6f, \"cpu_s\": %.6f, \"images\": %zu}\n", now_s(CLOCK_MONOTONIC) - began,
           now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu, n_images);
}

static void write_pixels(const char *path, unsigned char *buffer)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        fail("cannot write", path);
    tjhandle handle = make_handle();
    for (size_t i = 0; i < n_images; i++) {
        size_t size_bytes = decode(handle, &images[i], buffer);
        if (fwrite(buffer, 1, size_bytes, file) != size_bytes)
            fail("cannot write", path);
    }
    tj3Destroy(handle);
    if (fclose(file) != 0)
        fail("cannot write", path);
    printf("{\"images\": %zu}\n", n_images);
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail("cannot read", path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    unsigned char *data = checked(malloc(size));
    if (fread(data, 1, size, file) != size)
        fail("cannot read", path);
    fclose(file);

    tjhandle handle = make_handle();
    for (size_t at = 0; at < size;) {
        uint32_t length;
        memcpy(&length, data + at, sizeof length);
        images = checked(realloc(images, (n_images + 1) * sizeof *images));
        images[n_images] = (struct image){data + at + sizeof length, length};
        size_t size_bytes = read_header(handle, &images[n_images++]);
        if (size_bytes > largest_bytes)
            largest_bytes = size_bytes;
        at += sizeof length + length;
    }
    tj3Destroy(handle);
}

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[3], "fresh") != 0 && strcmp(argv[3], "reused") != 0))
        fail("usage", "decode_loop FILE THREADS reused|fresh");
    int n_threads = atoi(argv[2]);
    if (n_threads < 1)
        fail("usage", "at least one thread");
    fresh = strcmp(argv[3], "fresh") == 0;
    load(argv[1]);
    unsigned char *buffers[n_threads];
    for (int t = 0; t < n_threads; t++)
        buffers[t] = checked(malloc(largest_bytes));

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("{\"ready\": true, \"images\": %zu}\n", n_images);
    char line[4096];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "go") == 0)
            go(n_threads, buffers);
        else if (strncmp(line, "pixels ", 7) == 0)
            write_pixels(line + 7, buffers[0]);
        else
            fail("unknown request", line);
    }
    return 0;
}
