// SPDX-License-Identifier: Apache-2.0

#include "CPowerLoss.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A file of ours; the system's own follows it in the same allocation.
typedef struct {
    sqlite3_file base;
    char *path;  // NULL for files that are not watched
} Disk;

static sqlite3_vfs *real_vfs;
static sqlite3_vfs vfs;
static char watched[1024];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long events, cut_at;

static sqlite3_file *real(sqlite3_file *file) { return (sqlite3_file *)((char *)file + sizeof(Disk)); }

// Counts an event; whether there is still power. With the lock held.
static int happens(void) {
    events++;
    return cut_at == 0 || events < cut_at;
}

static FILE *beside(const char *path, const char *suffix, const char *mode) {
    char name[1100];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return fopen(name, mode);
}

static void note(const Disk *disk, sqlite3_int64 offset, sqlite3_int64 length, const void *bytes) {
    if (!disk->path) return;
    pthread_mutex_lock(&lock);
    if (happens()) {
        FILE *pending = beside(disk->path, ".pending", "ab");
        if (!pending) abort();
        fwrite(&offset, sizeof offset, 1, pending);
        fwrite(&length, sizeof length, 1, pending);
        if (length > 0) fwrite(bytes, 1, (size_t)length, pending);
        fclose(pending);
    }
    pthread_mutex_unlock(&lock);
}

static int disk_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset) {
    note((Disk *)file, offset, count, bytes);
    return real(file)->pMethods->xWrite(real(file), bytes, count, offset);
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size) {
    note((Disk *)file, size, -1, NULL);
    return real(file)->pMethods->xTruncate(real(file), size);
}

static int disk_sync(sqlite3_file *file, int flags) {
    Disk *disk = (Disk *)file;
    int result = real(file)->pMethods->xSync(real(file), flags);
    if (!disk->path) return result;
    pthread_mutex_lock(&lock);
    if (happens() && result == SQLITE_OK) {
        FILE *from = fopen(disk->path, "rb");
        FILE *to = beside(disk->path, ".synced", "wb");
        FILE *pending = beside(disk->path, ".pending", "wb");
        if (!from || !to || !pending) abort();
        char buffer[1 << 16];
        size_t count;
        while ((count = fread(buffer, 1, sizeof buffer, from)) > 0) fwrite(buffer, 1, count, to);
        fclose(from);
        fclose(to);
        fclose(pending);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static int disk_close(sqlite3_file *file) {
    Disk *disk = (Disk *)file;
    int result = real(file)->pMethods->xClose(real(file));
    free(disk->path);
    return result;
}

// Everything else is the system's.
static int disk_read(sqlite3_file *f, void *b, int n, sqlite3_int64 o) { return real(f)->pMethods->xRead(real(f), b, n, o); }
static int disk_size(sqlite3_file *f, sqlite3_int64 *n) { return real(f)->pMethods->xFileSize(real(f), n); }
static int disk_lock(sqlite3_file *f, int k) { return real(f)->pMethods->xLock(real(f), k); }
static int disk_unlock(sqlite3_file *f, int k) { return real(f)->pMethods->xUnlock(real(f), k); }
static int disk_reserved(sqlite3_file *f, int *r) { return real(f)->pMethods->xCheckReservedLock(real(f), r); }
static int disk_control(sqlite3_file *f, int op, void *a) { return real(f)->pMethods->xFileControl(real(f), op, a); }
static int disk_sector(sqlite3_file *f) { return real(f)->pMethods->xSectorSize(real(f)); }
static int disk_traits(sqlite3_file *f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); }
static int disk_shm_map(sqlite3_file *f, int p, int n, int w, void volatile **m) {
    return real(f)->pMethods->xShmMap(real(f), p, n, w, m);
}
static int disk_shm_lock(sqlite3_file *f, int o, int n, int k) { return real(f)->pMethods->xShmLock(real(f), o, n, k); }
static void disk_shm_barrier(sqlite3_file *f) { real(f)->pMethods->xShmBarrier(real(f)); }
static int disk_shm_unmap(sqlite3_file *f, int d) { return real(f)->pMethods->xShmUnmap(real(f), d); }

// Version 2: without memory mapping, which would write past us.
static const sqlite3_io_methods methods = {
    2,           disk_close,  disk_read,     disk_write, disk_truncate, disk_sync,    disk_size,
    disk_lock,   disk_unlock, disk_reserved, disk_control, disk_sector, disk_traits,  disk_shm_map,
    disk_shm_lock, disk_shm_barrier, disk_shm_unmap,
};

static int disk_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out_flags) {
    (void)self;
    Disk *disk = (Disk *)file;
    memset(disk, 0, sizeof *disk);
    memset(real(file), 0, sizeof(sqlite3_file));
    int result = real_vfs->xOpen(real_vfs, name, real(file), flags, out_flags);
    if (!real(file)->pMethods) return result;
    if (name && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) && strncmp(name, watched, strlen(watched)) == 0) {
        disk->path = strdup(name);
    }
    file->pMethods = &methods;
    return result;
}

int power_loss_install(const char *prefix) {
    if (!real_vfs) real_vfs = sqlite3_vfs_find(NULL);
    snprintf(watched, sizeof watched, "%s", prefix);
    vfs = *real_vfs;
    vfs.zName = "power-loss";
    vfs.szOsFile = (int)sizeof(Disk) + real_vfs->szOsFile;
    vfs.xOpen = disk_open;
    vfs.pNext = NULL;
    return sqlite3_vfs_register(&vfs, 1);
}

void power_loss_remove(void) {
    sqlite3_vfs_register(real_vfs, 1);
    sqlite3_vfs_unregister(&vfs);
}

void power_loss_cut_at(long event) {
    pthread_mutex_lock(&lock);
    events = 0;
    cut_at = event;
    pthread_mutex_unlock(&lock);
}

long power_loss_events(void) {
    pthread_mutex_lock(&lock);
    long count = events;
    pthread_mutex_unlock(&lock);
    return count;
}
