package com.acteon.client.exceptions;

/** The server answered with another status than 200. */
public class HttpException extends ActeonException {
	private final int status;

	public HttpException(int status, String message) {
		super("HTTP " + status + ": " + message, null);
		this.status = status;
	}

	public int getStatus() {
		return status;
	}

	@Override
	public boolean isRetryable() {
		return status >= 500;
	}
}
