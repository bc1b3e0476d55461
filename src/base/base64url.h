/*
 * base64url.h
 *		Bytes as text that a URL takes as it is.
 */
#ifndef ACTEON_BASE64URL_H
#define ACTEON_BASE64URL_H

extern char *Base64UrlEncode(const char *bytes, int len);
extern char *Base64UrlDecode(const char *text, int len);

#endif /* ACTEON_BASE64URL_H */
