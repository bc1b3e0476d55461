package com.acteon.client.models;

/** Which records to replay; this SDK has no times, verdict or rule. */
public class AuditQuery {
	private String namespace;
	private String tenant;
	private String provider;
	private String actionType;
	private String outcome;
	private Integer limit;

	public static Builder builder() {
		return new Builder();
	}

	public String getNamespace() { return namespace; }
	public String getTenant() { return tenant; }
	public String getProvider() { return provider; }
	public String getActionType() { return actionType; }
	public String getOutcome() { return outcome; }
	public Integer getLimit() { return limit; }

	public static class Builder {
		private final AuditQuery query = new AuditQuery();

		public Builder namespace(String namespace) { query.namespace = namespace; return this; }
		public Builder tenant(String tenant) { query.tenant = tenant; return this; }
		public Builder provider(String provider) { query.provider = provider; return this; }
		public Builder actionType(String actionType) { query.actionType = actionType; return this; }
		public Builder outcome(String outcome) { query.outcome = outcome; return this; }
		public Builder limit(int limit) { query.limit = limit; return this; }
		public AuditQuery build() { return query; }
	}
}
