// Replays with the gateway's SDK: the actions that are named, then those that match.

import com.acteon.client.ActeonClient;
import com.acteon.client.exceptions.ActeonException;
import com.acteon.client.exceptions.HttpException;
import com.acteon.client.models.AuditQuery;
import com.acteon.client.models.ReplayResult;
import com.acteon.client.models.ReplaySummary;

// snippet: begin
class SdkReplays {
	private final ActeonClient client = new ActeonClient(System.getenv("ACTEON_URL"), System.getenv("ACTEON_API_KEY"));

	String replay(String actionId) throws ActeonException {
		try {
			ReplayResult result = client.replayAction(actionId);
			return result.isSuccess() ? "replayed as " + result.getNewActionId() : result.getError();
		} catch (HttpException refusal) {
			return String.valueOf(refusal.getStatus()); // 404: no such record, 403: no grant for it
		}
	}

	ReplaySummary replayAll() throws ActeonException {
		return client.replayAudit(AuditQuery.builder().provider("email").outcome("failed").limit(500).build());
	}
}
// snippet: end

class ReplaySdk {
	public static void main(String[] actionIds) throws ActeonException {
		SdkReplays replays = new SdkReplays();

		for (String actionId : actionIds)
			System.out.println(actionId + ": " + replays.replay(actionId));
		ReplaySummary summary = replays.replayAll();
		System.out.println("replayed " + summary.getReplayed() + ", failed " + summary.getFailed() + ", skipped " + summary.getSkipped());
	}
}
