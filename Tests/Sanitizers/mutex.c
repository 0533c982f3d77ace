// SPDX-License-Identifier: Apache-2.0
// Makes the thread sanitizer see that Swift's Mutex orders memory when threads meet at it, for `make sanitize`.
//
// Taking and leaving a free Mutex is inlined into our code, where the sanitizer watches it. A contended one goes through
// two functions of libswiftSynchronization, which is not instrumented, and through a futex: without a word to the
// sanitizer, everything that such a Mutex protects is reported as a race. This library is preloaded; its functions stand
// before those two, and give that word.

#include <dlfcn.h>
#include <stdint.h>

// There only in programs that are built with the sanitizer.
extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context))
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

// Synchronization._MutexHandle._lockSlow(Swift.UInt32) -> ()
SWIFT void lock_slow(uint32_t thread, SELF void *mutex) __asm__(LOCK);
// Synchronization._MutexHandle._unlockSlow() -> ()
SWIFT void unlock_slow(SELF void *mutex) __asm__(UNLOCK);

SWIFT void lock_slow(uint32_t thread, SELF void *mutex) {
    SWIFT void (*real)(uint32_t, SELF void *) = dlsym(RTLD_NEXT, LOCK);
    real(thread, mutex);
    if (__tsan_acquire) __tsan_acquire(mutex);
}

SWIFT void unlock_slow(SELF void *mutex) {
    SWIFT void (*real)(SELF void *) = dlsym(RTLD_NEXT, UNLOCK);
    if (__tsan_release) __tsan_release(mutex);
    real(mutex);
}
