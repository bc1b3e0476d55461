// Replays with JDBC: the actions that are named, then those that match.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.OffsetDateTime;
import java.util.List;
import org.postgresql.util.PSQLException;

// snippet: begin
class Replays {
	private final Connection connection;

	Replays(String url) throws SQLException {
		connection = DriverManager.getConnection(url);
	}

	/** The first row of what a statement returns. */
	private ResultSet first(String sql, Object... arguments) throws SQLException {
		PreparedStatement statement = connection.prepareStatement(sql);
		for (int i = 0; i < arguments.length; i++)
			statement.setObject(i + 1, arguments[i]);
		ResultSet row = statement.executeQuery();
		row.next();
		return row;
	}

	String replay(String actionId) throws SQLException {
		try {
			ResultSet row = first("SELECT new_action_id, success, error FROM acteon_replay(?, reason => ?)",
				actionId, "INC-42: provider's down");
			return row.getBoolean("success") ? "replayed as " + row.getString("new_action_id") : row.getString("error");
		} catch (PSQLException refusal) {
			if (!List.of("P0002", "42501").contains(refusal.getSQLState())) // no such record; no grant for it
				throw refusal;
			return refusal.getSQLState() + " " + refusal.getServerErrorMessage().getMessage();
		}
	}

	private final OffsetDateTime from = OffsetDateTime.parse("2026-01-15T12:00:00Z");
	private final OffsetDateTime to = OffsetDateTime.parse("2026-01-15T13:00:00Z");

	ResultSet plan() throws SQLException {
		return first("SELECT matched, replayable FROM acteon_replay_preview(provider => ?, outcome => ?,"
			+ " from_time => ?, to_time => ?, max_records => ?) WHERE section = 'total'", "email", "failed", from, to, 500);
	}

	ResultSet replayAll() throws SQLException {
		return first("SELECT replayed, failed, skipped FROM acteon_replay_bulk(provider => ?, outcome => ?,"
			+ " from_time => ?, to_time => ?, max_records => ?, reason => ?)",
			"email", "failed", from, to, 500, "INC-42: provider's down");
	}
}
// snippet: end

class ReplayDriver {
	public static void main(String[] actionIds) throws SQLException {
		Replays replays = new Replays(System.getenv("JDBC_URL"));

		for (String actionId : actionIds)
			System.out.println(actionId + ": " + replays.replay(actionId));
		ResultSet planned = replays.plan();
		System.out.println("would replay " + planned.getLong("replayable") + " of " + planned.getLong("matched"));
		ResultSet answer = replays.replayAll();
		System.out.println("replayed " + answer.getInt("replayed") + ", failed " + answer.getInt("failed")
			+ ", skipped " + answer.getInt("skipped"));
	}
}
