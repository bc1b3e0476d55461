package com.acteon.client;

import com.acteon.client.exceptions.ActeonException;
import com.acteon.client.exceptions.ConnectionException;
import com.acteon.client.exceptions.HttpException;
import com.acteon.client.models.AuditQuery;
import com.acteon.client.models.ReplayResult;
import com.acteon.client.models.ReplaySummary;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * The part of the gateway's Java SDK that replays: the same names, the same requests,
 * and answers read as strictly as its first versions do: an unknown key is an error.
 */
public class ActeonClient implements AutoCloseable {
	private final String baseUrl;
	private final String apiKey;
	private final HttpClient httpClient;
	private final ObjectMapper objectMapper = new ObjectMapper();

	public ActeonClient(String baseUrl, String apiKey) {
		this.baseUrl = baseUrl.replaceAll("/$", "");
		this.apiKey = apiKey;
		this.httpClient = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(30)).build();
	}

	@Override
	public void close() {
	}

	private static String encode(String text) {
		return URLEncoder.encode(text, StandardCharsets.UTF_8);
	}

	private HttpResponse<String> post(String path) throws ActeonException {
		HttpRequest.Builder request = HttpRequest.newBuilder().uri(URI.create(baseUrl + path))
			.header("Content-Type", "application/json");

		if (apiKey != null && !apiKey.isEmpty())
			request.header("Authorization", "Bearer " + apiKey);
		try {
			return httpClient.send(request.POST(HttpRequest.BodyPublishers.noBody()).build(), HttpResponse.BodyHandlers.ofString());
		} catch (IOException e) {
			throw new ConnectionException(e.getMessage(), e);
		} catch (InterruptedException e) {
			Thread.currentThread().interrupt();
			throw new ConnectionException("Request interrupted", e);
		}
	}

	private <T> T parse(HttpResponse<String> response, Class<T> type) throws ActeonException {
		try {
			return objectMapper.readValue(response.body(), type);
		} catch (IOException e) {
			throw new ConnectionException(e.getMessage(), e);
		}
	}

	/** The id is encoded as in a form, so that a blank comes as a plus sign. */
	public ReplayResult replayAction(String actionId) throws ActeonException {
		HttpResponse<String> response = post("/v1/audit/" + encode(actionId) + "/replay");

		switch (response.statusCode()) {
			case 200:
				return parse(response, ReplayResult.class);
			case 404:
				throw new HttpException(404, "Audit record not found: " + actionId);
			case 422:
				throw new HttpException(422, "No stored payload available for replay");
			default:
				throw new HttpException(response.statusCode(), "Failed to replay action");
		}
	}

	public ReplaySummary replayAudit(AuditQuery query) throws ActeonException {
		List<String> params = new ArrayList<>();

		if (query != null) {
			String[][] given = {{"namespace", query.getNamespace()}, {"tenant", query.getTenant()}, {"provider", query.getProvider()},
				{"action_type", query.getActionType()}, {"outcome", query.getOutcome()},
				{"limit", query.getLimit() == null ? null : query.getLimit().toString()}};
			for (String[] param : given)
				if (param[1] != null)
					params.add(param[0] + "=" + encode(param[1]));
		}
		HttpResponse<String> response = post("/v1/audit/replay" + (params.isEmpty() ? "" : "?" + String.join("&", params)));
		if (response.statusCode() != 200)
			throw new HttpException(response.statusCode(), "Failed to replay audit");
		return parse(response, ReplaySummary.class);
	}
}
