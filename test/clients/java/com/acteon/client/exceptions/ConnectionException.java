package com.acteon.client.exceptions;

/** The server was not reached, or not understood. */
public class ConnectionException extends ActeonException {
	public ConnectionException(String message, Throwable cause) {
		super("Connection error: " + message, cause);
	}

	@Override
	public boolean isRetryable() {
		return true;
	}
}
