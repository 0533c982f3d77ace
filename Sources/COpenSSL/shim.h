// SPDX-License-Identifier: Apache-2.0
#ifndef TAPEDECK_COPENSSL_H
#define TAPEDECK_COPENSSL_H
// The same feature macros as CLinux, so that both modules see one definition of fd_set.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <features.h>
#undef __USE_XOPEN
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// What follows is macros in OpenSSL, which Swift cannot import.
static inline void tapedeck_ctx_set_mode(SSL_CTX *ctx, long mode) { SSL_CTX_set_mode(ctx, mode); }
/// No renegotiation, of which a client of TLS 1.2 could ask without end; no compression, which tells of secrets.
static inline void tapedeck_ctx_set_safe_options(SSL_CTX *ctx) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
}
static inline void tapedeck_ctx_set_read_ahead(SSL_CTX *ctx, int on) { SSL_CTX_set_read_ahead(ctx, on); }
static inline int tapedeck_ctx_set_min_version(SSL_CTX *ctx, int version) {
    return SSL_CTX_set_min_proto_version(ctx, version);
}
static inline int tapedeck_ctx_set_groups(SSL_CTX *ctx, const char *list) { return SSL_CTX_set1_groups_list(ctx, list); }
static inline void tapedeck_ctx_set_session_cache(SSL_CTX *ctx, long mode, long size) {
    SSL_CTX_set_session_cache_mode(ctx, mode);
    SSL_CTX_sess_set_cache_size(ctx, size);
}
static inline long tapedeck_ctx_cached_sessions(SSL_CTX *ctx) { return SSL_CTX_sess_number(ctx); }
static inline void tapedeck_ctx_set_max_cert_list(SSL_CTX *ctx, long bytes) { SSL_CTX_set_max_cert_list(ctx, bytes); }
static inline void tapedeck_ctx_set_name_callback(SSL_CTX *ctx, int (*callback)(SSL *, int *, void *), void *context) {
    SSL_CTX_set_tlsext_servername_callback(ctx, callback);
    SSL_CTX_set_tlsext_servername_arg(ctx, context);
}
static inline int tapedeck_set_host_name(SSL *ssl, const char *name) { return SSL_set_tlsext_host_name(ssl, name); }
static inline void tapedeck_bio_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void tapedeck_bio_retry_write(BIO *bio) { BIO_set_retry_write(bio); }
static inline void tapedeck_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline int tapedeck_err_lib(unsigned long code) { return ERR_GET_LIB(code); }
static inline int tapedeck_err_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int tapedeck_names_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
/// RFC 2253, but UTF-8 as it is.
static inline int tapedeck_print_name(BIO *bio, const X509_NAME *name) {
    return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
}
/// The bytes of the entry's DNS name; NULL if it is a name of another kind.
static inline const unsigned char *tapedeck_dns_name(const GENERAL_NAMES *names, int index, int *length) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
    if (name->type != GEN_DNS) return NULL;
    *length = ASN1_STRING_length(name->d.dNSName);
    return ASN1_STRING_get0_data(name->d.dNSName);
}
#endif
