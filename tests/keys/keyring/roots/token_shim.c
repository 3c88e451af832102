/* A PKCS#11 module around SoftHSM that does what SoftHSM never does; SHIM_DOES says what.
 *
 * The list of functions begins with a version, and has 68 pointers in the order of PKCS #11 2.40.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long rv;
typedef rv (*function)(void);

struct functions {
    unsigned char version[2];
    function at[68];
};

enum { TOKEN_INFO = 6, LOGIN = 18, ENCRYPT_INIT = 29, ENCRYPT = 30, DECRYPT_INIT = 33, DECRYPT = 34 };
enum { FLAGS_AT = 96 }; /* in CK_TOKEN_INFO: label 32, manufacturer 32, model 16, serial 16 */
enum { DEVICE_REMOVED = 0x32, PIN_LOCKED = 0xA4, VENDOR = 0x80000042 };
enum { FINAL_TRY = 0x00020000, LOCKED = 0x00040000 };

static struct functions *real, ours;

static int does(const char *what) {
    const char *set = getenv("SHIM_DOES");
    return set && strcmp(set, what) == 0;
}

static rv token_info(unsigned long slot, unsigned char *info) {
    rv result = ((rv (*)(unsigned long, unsigned char *))real->at[TOKEN_INFO])(slot, info);
    unsigned long *flags = (unsigned long *)(info + FLAGS_AT);
    if (does("final-try")) *flags |= FINAL_TRY;
    if (does("locked")) *flags |= LOCKED;
    return result;
}

static rv login(unsigned long session, unsigned long user, char *pin, unsigned long size) {
    const char *count = getenv("SHIM_LOGINS");
    if (count) {
        FILE *file = fopen(count, "a");
        if (file) fputs("login\n", file), fclose(file);
    }
    if (does("locks")) return PIN_LOCKED;
    if (does("hangs")) for (;;) pause();
    if (does("crashes")) abort();
    if (does("prints")) {
        printf("%.*s\n", (int)size, pin);
        fprintf(stderr, "%.*s\n", (int)size, pin);
        fflush(stdout);
    }
    return ((rv (*)(unsigned long, unsigned long, char *, unsigned long))real->at[LOGIN])(
        session, user, pin, size);
}

static rv decrypt_init(unsigned long session, void *mechanism, unsigned long key) {
    if (does("removed")) return DEVICE_REMOVED;
    if (does("vendor")) return VENDOR;
    return ((rv (*)(unsigned long, void *, unsigned long))real->at[DECRYPT_INIT])(
        session, mechanism, key);
}

/* Some tokens ignore the IV that they are given; the first byte of CK_GCM_PARAMS' IV changes. */
static rv encrypt_init(unsigned long session, unsigned long *mechanism, unsigned long key) {
    if (does("own-iv")) {
        unsigned char **parameters = (unsigned char **)mechanism[1];
        unsigned char other[16];
        memcpy(other, parameters[0], 12);
        other[0] ^= 1;
        unsigned char *given = parameters[0];
        parameters[0] = other;
        rv result = ((rv (*)(unsigned long, void *, unsigned long))real->at[ENCRYPT_INIT])(
            session, mechanism, key);
        parameters[0] = given;
        return result;
    }
    return ((rv (*)(unsigned long, void *, unsigned long))real->at[ENCRYPT_INIT])(
        session, mechanism, key);
}

static void at_exit(void) {
    if (does("hangs-at-exit")) for (;;) pause();
}

rv C_GetFunctionList(struct functions **list) {
    void *library = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) return 5;
    rv result = ((rv (*)(struct functions **))dlsym(library, "C_GetFunctionList"))(&real);
    ours = *real;
    ours.at[TOKEN_INFO] = (function)token_info;
    ours.at[LOGIN] = (function)login;
    ours.at[ENCRYPT_INIT] = (function)encrypt_init;
    ours.at[DECRYPT_INIT] = (function)decrypt_init;
    atexit(at_exit);
    *list = &ours;
    return result;
}
