package com.acteon.client.exceptions;

/** What the client throws. */
public abstract class ActeonException extends Exception {
	protected ActeonException(String message, Throwable cause) {
		super(message, cause);
	}

	public abstract boolean isRetryable();
}
