// SPDX-License-Identifier: Apache-2.0
#ifndef TAPEDECK_CCURL_H
#define TAPEDECK_CCURL_H
// The same feature macros as CLinux, so that both modules see one definition of fd_set.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <features.h>
#undef __USE_XOPEN
#include <curl/curl.h>

// curl_easy_setopt and curl_easy_getinfo are variadic, which Swift cannot call.
static inline CURLcode tapedeck_curl_set_text(CURL *curl, CURLoption option, const char *value) {
    return curl_easy_setopt(curl, option, value);
}
static inline CURLcode tapedeck_curl_set_long(CURL *curl, CURLoption option, long value) {
    return curl_easy_setopt(curl, option, value);
}
/// `buffer` has CURL_ERROR_SIZE bytes and outlives the handle.
static inline CURLcode tapedeck_curl_set_complaint(CURL *curl, char *buffer) {
    return curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, buffer);
}
static inline CURLcode tapedeck_curl_set_list(CURL *curl, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(curl, option, value);
}
static inline CURLcode tapedeck_curl_set_writer(CURL *curl, curl_write_callback writer, void *context) {
    CURLcode code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, writer);
    return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_WRITEDATA, context);
}
/// `progress` is called a few times a second, with bytes received; anything but 0 from it ends the transfer.
static inline CURLcode tapedeck_curl_set_progress(CURL *curl, curl_xferinfo_callback progress, void *context) {
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, context);
    return curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}
static inline CURLcode tapedeck_curl_set_body(CURL *curl, const void *bytes, long count) {
    CURLcode code = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, count);
    return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, bytes);
}
static inline CURLcode tapedeck_curl_set_header_reader(CURL *curl, curl_write_callback reader, void *context) {
    CURLcode code = curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, reader);
    return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_HEADERDATA, context);
}
/// No other scheme than these is ever spoken, whatever a URL says.
static inline CURLcode tapedeck_curl_allow_http_only(CURL *curl) {
#if CURL_AT_LEAST_VERSION(7, 85, 0)
    return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    return curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}
/// Where a reply sends the client, as an absolute URL; NULL if nowhere. Valid until the next transfer.
static inline const char *tapedeck_curl_redirect(CURL *curl) {
    char *url = NULL;
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &url);
    return url;
}
static inline long tapedeck_curl_status(CURL *curl) {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}
#endif
