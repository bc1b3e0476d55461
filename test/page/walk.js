// Walks through the page in a browser, as people would, and says in TAP what it finds.
//
//     node walk.js PART CONFIG.json
//
// CONFIG.json has: url, of the server; keys, by the names of their roles; chromium; scratch, a directory; axe, the
// path of axe-core or null; pictures, a directory.
'use strict';
const fs = require('fs');
const path = require('path');
const { Browser, pause } = require('./browser.js');

const [part, file] = process.argv.slice(2);
const config = JSON.parse(fs.readFileSync(file, 'utf8'));
const ok = (good, what, ...why) => {
	console.log(`${good ? 'ok' : 'not ok'} - ${part}: ${what}`);
	if (!good) why.forEach((text) => console.log(String(text).replace(/^/gm, '# ')));
};
const is = (got, wanted, what) => ok(JSON.stringify(got) === JSON.stringify(wanted), what, `     got: ${JSON.stringify(got)}`, `expected: ${JSON.stringify(wanted)}`);
let browser;
const tabs = [];

async function open(role, options) {
	const tab = await browser.open(options);

	tabs.push(tab);
	await tab.go(config.url + '/');
	if (role) {
		await tab.write('key', config.keys[role]);
		await tab.press('Log in');
		await tab.sees('Log out');
	}
	return tab;
}
const go = async (tab, hash, text) => {
	await tab.run((to) => { location.hash = to; }, hash);
	await tab.sees(text);
};
// Press a button that asks for a reason, give one, and confirm.
async function change(tab, button, confirm, reason, fields = {}) {
	await tab.press(button);
	for (const [name, value] of Object.entries(fields)) await tab.write(name, value);
	await tab.write('reason', reason);
	await tab.press(confirm);
	await tab.until(() => document.querySelector('dialog') === null);
}
const buttons = (tab) => tab.run(() => [...document.querySelectorAll('main button')].map((button) => button.innerText));
const state = (tab, wanted) => tab.until((text) => document.querySelector('main .tag')?.innerText === text, wanted);
// The batch whose page is shown.
const shownBatch = (tab) => tab.until(() => /^#\/batch\/(\d+)/.exec(location.hash)?.[1]);
const count = (tab, name) => tab.run((wanted) => Number([...document.querySelectorAll('tbody tr')].find((row) => row.cells[0].innerText === wanted)?.cells[1].innerText.replaceAll(',', '')), name);

const parts = {
	async login() {
		const tab = await open(null);

		is(await tab.focused(), 'input API key', 'the key can be typed at once');
		await tab.write('key', 'acteon_nobody');
		await tab.press('Log in');
		await tab.sees('API key is unknown, expired or revoked');
		ok(!(await tab.text()).includes('Batches'), 'with a wrong key nothing is shown, and why is said');
		tab.complaints = tab.complaints.filter((text) => !text.includes('401'));    // the browser's own
		await tab.write('key', config.keys.oncall);
		await tab.press('Log in');
		await tab.sees('on call (operator, admin)');
		ok(true, 'with a right one it is said whose it is');
		is(await tab.run(() => [localStorage.length, sessionStorage.length, document.cookie]), [0, 0, ''], 'the key is kept nowhere');
		ok(!tab.requests.some((url) => url.includes(config.keys.oncall)), '… and in no URL');
		is(tab.requests.filter((url) => !url.startsWith(config.url) && !url.startsWith('data:')), [], 'nothing comes from elsewhere');
		await tab.press('Log out');
		await tab.sees('API key');
		ok(!(await tab.text()).includes('Batches'), 'and gone when one logs out');
		is(await tab.run(() => document.querySelector('[name=key]').value), '', '… from the field, too');
		await tab.send('Page.reload');
		await tab.sees('API key');
		ok(true, 'and after a reload');
	},

	// What a viewer of one tenant sees, and is offered.
	async viewer() {
		const tab = await open('viewer');

		await go(tab, '#/lost', 'By cause');
		await tab.sees('records of lost actions');
		const text = await tab.text();
		ok(text.includes('8,571 records of lost actions'), 'what is lost of the own tenant', text);
		ok(!text.includes('globex') && !/Plan a replay of/.test(text), 'nothing of others, and no plan is offered', text);
		await go(tab, '#/plan?tenant=acme&lost=true', 'would be replayed');
		ok((await tab.text()).includes('This key may look, but not replay.') && !(await buttons(tab)).some((name) => name.startsWith('Start')), 'a plan can be looked at, not started', await tab.text());
		await go(tab, '#/batch/1', 'Progress');
		is((await buttons(tab)).filter((name) => name.endsWith('…')), [], 'nothing of a batch can be changed');
		await go(tab, '#/action/mail-3', 'Payload');
		ok(!(await buttons(tab)).includes('Replay this action …'), 'nor an action replayed');
		const other = await open('globex');
		await go(other, '#/batch/1', 'batch 1 does not exist');
		await go(other, '#/action/mail-3', 'never replayed');
		ok(!/user-3@/.test(await other.text()), "another tenant's batch and action are not there");
		other.complaints = other.complaints.filter((complaint) => !/40[34]/.test(complaint));
	},

	// From what is lost to a batch of 20,000 actions, which is steered.
	async run() {
		const tab = await open('oncall', { downloads: config.scratch });

		await go(tab, '#/lost', 'By tenant');
		await tab.sees('20,000 records of lost actions');
		const text = await tab.text();
		ok(/timeout after <time>/.test(text) && /acme\s+8,571\s+8,571/.test(text), 'what is lost, by cause and by tenant', text);
		const box = await tab.run(() => { const { x, y, width, height } = document.querySelector('.chart').getBoundingClientRect(); return { x, y, width, height }; });
		const whole = await tab.run(() => document.querySelector('figure p').innerText);
		await tab.drag({ x: box.x + box.width * .2, y: box.y + 40 }, { x: box.x + box.width * .6, y: box.y + 40 });
		const dragged = await tab.run(() => document.querySelector('figure p').innerText);
		ok(dragged !== whole, 'a window is chosen with the mouse', dragged);
		await tab.press('Show only this window');
		await tab.until((wanted) => document.querySelector('main strong')?.innerText === wanted, /^\S+ \S+/.exec(dragged)[0]);
		ok(/from=.*to=/.test(await tab.run(() => location.hash)), '… which shows just what the chart has said');
		await go(tab, '#/lost', '20,000 records of lost actions');
		await tab.picture(path.join(config.pictures, 'page-lost.png'));

		await go(tab, '#/plan?lost=true&provider=sms&limit=7', 'would be replayed');
		ok(/7 actions would be replayed, of \d+ records that were looked at\. These are as many as the limit permits/.test(await tab.text()), 'a preview with a limit', await tab.text());
		await go(tab, `#/plan?lost=true&tenant=acme&patch=${encodeURIComponent('{"template_id": "t-99"}')}`, 'Samples');
		is(await tab.run(() => [...document.querySelector('.sides').querySelectorAll('pre')].map((pre) => JSON.parse(pre.innerText).template_id === 't-99')), [false, true], 'a payload before and after a patch');
		await go(tab, '#/plan?lost=true&rate=400&canary=off', '20,000 actions would be replayed');
		await change(tab, 'Start 20,000 replays …', 'Replay 20,000 actions', 'INC-42: provider was down');
		is(await shownBatch(tab), '3', 'a plan becomes a batch');
		await state(tab, 'running');
		await tab.until(() => Number([...document.querySelectorAll('tbody tr')].find((row) => row.cells[0].innerText === 'took effect').cells[1].innerText.replaceAll(',', '')) > 20);
		ok(true, 'its actions take effect');
		await change(tab, 'Change rate …', 'Change rate', 'slower', { rate: '300' });
		await tab.sees('300 per second');
		await tab.sees('of 20,000 actions');
		await change(tab, 'Pause …', 'Pause', 'let us look');
		await state(tab, 'paused');
		await tab.until(() => /^0$/.test([...document.querySelectorAll('tbody tr')].find((row) => row.cells[0].innerText === 'in flight').cells[1].innerText));
		const done = await count(tab, 'took effect');
		const waiting = await count(tab, 'waiting');
		ok(done > 20 && done + waiting === 20000, 'paused: what is done and what waits is all', done, waiting);
		ok((await buttons(tab)).includes('Resume …') && !(await buttons(tab)).includes('Pause …'), '… and can be resumed');
		await tab.sees('INC-42: provider was down');
		await tab.picture(path.join(config.pictures, 'page-batch.png'));
		await tab.colours(true);
		await tab.picture(path.join(config.pictures, 'page-batch-dark.png'));
		await tab.colours(false);

		await tab.press('Show actions');
		await tab.sees('100 actions, more follow');
		for (const [button, name] of [['Export as CSV', 'batch-3.csv'], ['Export as JSON lines', 'batch-3.jsonl']]) {
			await tab.press(button);
			await tab.sees(`${name} is complete.`);
			for (let i = 0; i < 100 && !fs.existsSync(path.join(config.scratch, name)); i++) await new Promise((next) => setTimeout(next, 100));
		}
		const csv = fs.readFileSync(path.join(config.scratch, 'batch-3.csv'), 'utf8').split('\r\n');
		is([csv.length, csv.filter((line) => line.includes('original_action_id')).length], [20002, 1], 'all actions are exported as CSV, with one line of names');
		const ids = fs.readFileSync(path.join(config.scratch, 'batch-3.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line).original_action_id);
		is([ids.length, new Set(ids).size], [20000, 20000], '… and as JSON lines, each once');

		await change(tab, 'Resume …', 'Resume', 'go on');
		await state(tab, 'running');
		const resumed = await count(tab, 'waiting');
		await tab.until((most) => Number([...document.querySelectorAll('tbody tr')].find((row) => row.cells[0].innerText === 'waiting').cells[1].innerText.replaceAll(',', '')) < most, resumed - 100);
		const left = await count(tab, 'waiting');
		await tab.press('Cancel batch …');
		const confirm = await tab.run(() => document.querySelector('dialog .danger').innerText);
		ok(/^Cancel [\d,]+ waiting actions$/.test(confirm), 'cancelling tells how much it is about', confirm);
		ok(Number(/[\d,]+/.exec(confirm)[0].replaceAll(',', '')) <= left, '… as it is now', confirm, left);
		await tab.write('reason', 'enough');
		await tab.press(confirm);
		await state(tab, 'cancelled');
		is((await buttons(tab)).filter((name) => name.endsWith('…')), [], 'nothing can be changed then');
	},

	// Changes whose answers are lost.
	async unanswered() {
		const tab = await open('oncall');
		const sent = () => tab.run(() => window.sent);

		await go(tab, '#/action/numbers', 'Payload');
		ok((await tab.text()).includes('"id": 9007199254740993'), 'numbers are shown as they are stored', await tab.text());
		ok(/"list": \[\],?\n/.test(await tab.text()) && (await tab.text()).includes('"text": "a, \\"b\\": ["'), '… and so is the rest');
		await go(tab, `#/plan?action_ids=${encodeURIComponent('["numbers"]')}&allow_effective=true&patch=${encodeURIComponent('{"more": 12345678901234567890}')}`, 'Samples');
		is(await tab.run(() => [...document.querySelectorAll('.sides pre')].map((pre) => /"id": 9007199254740993/.test(pre.innerText))), [true, true], '… before and after a patch');
		ok((await tab.run(() => document.querySelectorAll('.sides pre')[1].innerText)).includes('12345678901234567890'), '… whose numbers are, too');
		await go(tab, '#/action/numbers', 'Payload');
		await tab.run(() => {
			const real = window.fetch;

			window.sent = [];
			window.lose = 2;
			window.fetch = async (url, options) => {
				if (options.method !== 'POST') return real(url, options);
				window.sent.push(`${url} ${options.headers['Idempotency-Key']}`);
				if (window.lose === 0) await new Promise((next) => { window.answer = next; });
				const response = await real(url, options);
				if (window.lose-- > 0) throw new TypeError('lost');
				return response;
			};
		});
		await tab.press('Replay this action …');
		await tab.write('reason', 'INC-44: lost answer');
		await tab.press('Replay it');
		await tab.sees('It is not known whether this was done.');
		is(await tab.run(() => document.querySelector('dialog [name=reason]').readOnly), true, 'what was sent without an answer cannot be changed');
		await tab.press('Replay it');
		await tab.until(() => window.sent.length === 2 && document.querySelector('dialog button:disabled') === null);
		await tab.press('Back');
		await go(tab, '#/action/single-4', 'single-4');
		await go(tab, '#/action/numbers', 'Payload');
		await tab.press('Replay this action …');
		await tab.sees('its answer was lost');
		is(await tab.run(() => { const { value, readOnly } = document.querySelector('dialog [name=reason]'); return [value, readOnly]; }), ['INC-44: lost answer', true], '… nor after the question was left');
		await tab.press('Replay it');
		await tab.until(() => window.answer);
		for (let i = 0; i < 3; i++) await tab.key('Escape');
		ok(await tab.run(() => document.querySelector('dialog[open]') !== null), 'Escape does not close a question whose answer is under way');
		await tab.run(() => window.answer());
		await tab.sees('Enqueued as');
		is([(await sent()).length, new Set(await sent()).size], [3, 1], 'each time the same request was sent, with the same key');
		await tab.press('Replay this action …');
		ok(!(await tab.run(() => document.querySelector('dialog').innerText)).includes('its answer was lost'), 'and after an answer another one can be sent');
		await tab.press('Back');
	},

	// A batch that is enqueued slower than it could be: how often the tab asks.
	async paced() {
		const tab = await open('boss');

		await go(tab, '#/plan?lost=true&provider=sms&tenant=initech&limit=5', 'more may match');
		await change(tab, 'Start 5 replays …', 'Replay 5 actions', 'INC-45: some');
		await tab.sees('5 enqueued, 0 failed, 0 skipped. More records match');
		ok(true, 'after a replay with a limit it is told that more records match');
		await tab.run(() => {
			const real = window.setTimeout;

			window.waits = [];
			window.setTimeout = (act, milliseconds) => {
				if (milliseconds >= 4000) window.waits.push(milliseconds);
				return real(act, milliseconds === 30000 ? 500 : milliseconds > 2000 && milliseconds <= 15000 ? 10 : milliseconds);
			};
		});
		await go(tab, '#/plan?lost=true&provider=sms&tenant=initech&rate=1&canary=off', 'would be replayed');
		const start = (await buttons(tab)).find((name) => name.startsWith('Start'));
		await change(tab, start, start.replace('Start', 'Replay').replace('replays …', 'actions'), 'INC-45: slowly');
		await tab.until(() => window.waits.includes(15000));
		is(await tab.run(() => window.waits.filter((wait, i, all) => wait < 15000 && all.indexOf(wait) === i)), [4000, 8000], 'when nothing can be enqueued the tab asks ever more rarely');
		await change(tab, 'Pause …', 'Pause', 'INC-45: no longer');
		await tab.until(() => window.waits.includes(30000));
		await tab.sees('the batch is paused');
		const steps = () => tab.requests.filter((url) => url.includes('/continue')).length;
		const looks = () => tab.run(() => window.waits.filter((wait) => wait === 30000).length);
		const [before, looked] = [steps(), await looks()];
		await tab.until((wanted) => window.waits.filter((wait) => wait === 30000).length > wanted, looked + 2);
		is(steps(), before, 'a paused batch is looked at, and not continued');
		await change(tab, 'Resume …', 'Resume', 'INC-45: on');
		for (let i = 0; i < 1000 && steps() === before; i++) await pause(20);
		ok(steps() > before, '… until it is resumed');
		const cancel = (await buttons(tab)).find((name) => name.startsWith('Cancel batch'));
		await tab.press(cancel);
		await tab.write('reason', 'INC-45: enough');
		await tab.press(await tab.run(() => document.querySelector('dialog .danger').innerText));
		await state(tab, 'cancelled');
		// A step may have come too late.
		tab.complaints = tab.complaints.filter((text) => !/422 .*\/continue/.test(text));
	},

	// A batch that one key asks for and another one approves.
	async approve() {
		const asks = await open('oncall');

		await go(asks, '#/plan?provider=sms&tenant=acme&lost=true', 'would be replayed');
		await change(asks, 'Ask for approval …', 'Ask for approval', 'INC-42: once more');
		await state(asks, 'awaiting approval');
		const id = await shownBatch(asks);
		ok(!(await buttons(asks)).includes('Approve …'), 'who has asked cannot approve');
		const other = await open('boss');
		await go(other, '#/batches', 'awaiting approval');
		await other.press(id);
		await other.sees('for the approval of a second person');
		await change(other, 'Approve …', 'Approve', 'I have looked at it');
		await state(other, 'interrupted');
		ok(!(await buttons(other)).includes('Continue …'), 'who has approved cannot begin it');
		await asks.until(() => [...document.querySelectorAll('main button')].some((button) => button.innerText === 'Continue …'));
		await change(asks, 'Continue …', 'Continue', 'approved');
		await asks.until(() => ['running', 'finished', 'in doubt'].includes(document.querySelector('main .tag')?.innerText));
		ok(true, 'who has asked can, and it runs');
		await asks.sees('I have looked at it');
		await asks.sees('Approved by');
		ok(true, 'and the log says so');
		await go(asks, '#/plan?provider=sms&lost=true&limit=100', 'that were looked at');
		const looked = Number(/of ([\d,]+) records that were looked at/.exec(await asks.text())?.[1]);
		ok(looked > 100 && (await buttons(asks)).includes('Start 100 replays …'), 'what the server may permit is offered, however many records are looked at', looked, await asks.text());
	},

	// Actions of which nobody knows whether they were executed.
	async settle() {
		const tab = await open('boss');

		await go(tab, '#/batch/1', 'In doubt: they may have been executed');
		is(await tab.run(() => [...document.querySelectorAll('[aria-label="Settle doubts"] button:disabled')].length), 3, 'nothing is settled that nobody has chosen');
		await tab.run(() => document.querySelector('[type=checkbox]').click());
		const other = await open('boss');
		await go(other, '#/batch/1', 'In doubt: they may have been executed');
		await other.run(() => document.querySelectorAll('[type=checkbox]')[1].click());
		await change(tab, 'They took effect …', 'Settle 1 action as done', 'the provider has it');
		await tab.until(() => document.querySelectorAll('[type=checkbox]').length === 1);
		await other.until(() => document.querySelectorAll('[type=checkbox]').length === 1);
		ok(await other.run(() => document.querySelector('[type=checkbox]').checked), 'what was chosen stays chosen when others settle something');
		is(await tab.run(() => document.querySelector('[type=checkbox]').checked), false, '… and nothing else is chosen then');
		await tab.press('Choose all 1 shown');
		await change(tab, 'They had no effect …', 'Settle 1 action as cancelled', 'the provider has it not');
		await tab.until(() => !document.body.innerText.includes('In doubt: they may'));
		ok(true, 'doubts are settled, one and all');
		is(tab.requests.filter((url) => url.includes('/settle?') && !/[?&]outbox_id=\d/.test(url)), [], '… each by its number');
	},

	// A batch that its starter hands over.
	async handover() {
		const tab = await open('oncall');
		const id = config.names.batch;

		await go(tab, `#/batch/${id}`, 'Hand over …');
		await tab.press('Hand over …');
		await tab.write('reason', 'INC-46: end of shift');
		await tab.press('Hand over');
		ok(await tab.run(() => document.querySelector('dialog [name=role]').matches(':invalid')), 'a batch is handed over to nobody but a role');
		for (const [role, why] of [['nobody here', 'does not exist'], ['viewer', 'has no grants for all of batch']]) {
			await tab.write('role', role);
			await tab.press('Hand over');
			await tab.sees(why);
			ok(true, `the batch is not handed over to ${role}, and why is said`);
		}
		await tab.write('role', 'globex');
		await tab.press('Hand over');
		await tab.sees(`Batch ${id} is handed over to globex.`);
		await tab.until(() => ![...document.querySelectorAll('main button')].some((button) => button.innerText === 'Hand over …'));
		ok(!(await buttons(tab)).includes('Change rate …'), 'who has handed it over is no longer offered to steer it', await buttons(tab));
		await tab.sees('end of shift');
		const other = await open('globex');
		await go(other, `#/batch/${id}`, 'Handed over to');
		await other.sees('Hand over …');
		await change(other, 'Change rate …', 'Change rate', 'INC-46: mine now', { rate: '7' });
		await other.sees('7 per second');
		ok(true, '… and the other role steers it');
		const viewer = await open('viewer');
		await go(viewer, `#/batch/${id}`, 'does not exist');
		ok(true, 'and it is not there for others');
		for (const one of [tab, viewer]) one.complaints = one.complaints.filter((text) => !/40[034]/.test(text));
	},

	// Everything at once.
	async everything() {
		const tab = await open('globex');

		await go(tab, '#/batches', 'Pause everything …');
		await tab.press('Pause everything …');
		await tab.write('reason', 'INC-49: stop');
		await tab.key('Escape');
		await tab.until(() => document.querySelector('dialog') === null);
		await change(tab, 'Pause everything …', 'Pause everything', 'INC-49: stop');
		await tab.sees(`1 batch paused: ${config.names.batch}.`);
		await go(tab, `#/batch/${config.names.batch}`, 'INC-49: stop');
		await state(tab, 'paused');
		await go(tab, '#/batches', 'Resume what was paused so …');
		await change(tab, 'Resume what was paused so …', 'Resume them', 'INC-49: on');
		await tab.sees(`1 batch resumed: ${config.names.batch}.`);
		ok(true, 'all that a key may pause is paused, and goes on');
		const viewer = await open('viewer');
		await go(viewer, '#/batches', 'Updated');
		is((await buttons(viewer)).filter((text) => text.endsWith('…')), [], 'nothing is offered to a viewer');
	},

	// Everything at once, while somebody else holds a batch.
	async busy() {
		const tab = await open('globex');

		await go(tab, '#/batches', 'Pause everything …');
		await change(tab, 'Pause everything …', 'Pause everything', 'INC-50: stop');
		await tab.sees(`0 batches paused. Not paused, because others have locked it: ${config.names.batch}; try again.`);
		ok(true, 'what could not be paused is named');
	},

	// Actions that could not be delivered.
	async dead() {
		const rows = (tab) => tab.run(() => [...document.querySelectorAll('main tbody tr')].map((row) => row.cells[0].innerText).sort());
		const boss = await open('boss');

		await go(boss, '#/dead', 'no such fax');
		is((await rows(boss)).length, 7, 'all that are dead');
		is([(await buttons(boss)).filter((name) => /edrive|hoose/.test(name)), await boss.run(() => document.querySelectorAll('main [type=checkbox]').length)], [[], 0], 'without a gateway grant nothing is redriven');
		await boss.sees('Only keys with a gateway grant');
		ok((await boss.text()).includes('<script>alert(13)</script>') && (await rows(boss)).includes('<img src=x onerror=alert(14)>'), 'what the gateway has answered stays text', await boss.text());
		is(await boss.run(() => [...document.querySelectorAll('main script, main img, [onerror]')].length), 0, '… and no element');
		await boss.press(config.names.dead);
		await boss.sees('Dead letters of this batch');
		await boss.press('Dead letters of this batch');
		await boss.sees('no such fax');
		is([(await rows(boss)).length, await boss.run(() => location.hash)], [7, `#/dead?batch_id=${config.names.dead}`], 'a batch leads to its own');
		const viewer = await open('viewer');
		await go(viewer, '#/dead', 'no such fax');
		ok((await rows(viewer)).every((id) => /^fax-[1-6]$/.test(id)) && (await rows(viewer)).length === 6, 'another key sees those of its tenant', await rows(viewer));
		await go(viewer, '#/dead?tenant=evil', 'There is no dead action that this key may see and that matches.');
		const globex = await open('globex');
		await go(globex, '#/dead', 'There is no dead action that this key may see.');
		ok(true, '… and another one none');

		const tab = await open('keeper');
		await go(tab, '#/dead', '0 chosen');
		ok(await tab.run(() => [...document.querySelectorAll('main button')].find((button) => button.innerText === 'Redrive …').disabled), 'nothing is redriven that nobody has chosen');
		ok(!(await buttons(tab)).includes('Redrive all that match …'), '… nor everything at once');
		await tab.picture(path.join(config.pictures, 'page-dead.png'));
		await tab.tabTo('input Choose fax-6');
		await tab.key(' ');
		await tab.tabTo('input Choose fax-5');
		await tab.key(' ');
		await tab.sees('2 chosen');
		await tab.tabTo('button Redrive …');
		await tab.key('Enter');
		await tab.until(() => document.querySelector('dialog[open]') !== null);
		await tab.key('Enter');
		ok(await tab.run(() => document.querySelector('dialog[open]') !== null), 'nothing is redriven without a reason');
		await tab.write('rate', '50');
		await tab.write('reason', 'INC-47: number is back');
		await tab.key('Escape');
		await tab.until(() => document.querySelector('dialog') === null);
		ok((await tab.focused()).startsWith('button Redrive'), '… nor after Escape, and the focus is back', await tab.focused());
		await change(tab, 'Redrive …', 'Redrive 2 actions', 'INC-47: number is back', { rate: '50' });
		await tab.sees('2 actions put back into the queue, 0 skipped.');
		await tab.until(() => document.querySelectorAll('main tbody tr').length === 5);
		is(await tab.focused(), 'h1 Dead letters', 'the focus is on the heading when nothing is chosen any more');
		is(await rows(tab), ['<img src=x onerror=alert(14)>', 'fax-1', 'fax-2', 'fax-3', 'fax-4'], 'what was chosen is redriven, and nothing else');
		is(tab.requests.filter((url) => url.includes('/redrive?')).map((url) => /[?&]outbox_id=\d+%2C\d+&.*rate=50/.test(url)), [true], '… by its numbers');
		await tab.write('provider', 'fax');
		await tab.press('Show');
		await tab.until(() => /provider=fax/.test(location.hash));
		await change(tab, 'Redrive all that match …', 'Redrive all that match', 'INC-47: all of them', { max_actions: '3' });
		await tab.sees('3 actions put back into the queue, 0 skipped.');
		await tab.until(() => document.querySelectorAll('main tbody tr').length === 2);
		ok(true, 'all that match are redriven, as many as was said');
	},

	// What all batches together keep.
	async limits() {
		const tab = await open('boss');
		const name = '<img src=x onerror=alert(15)>';

		await go(tab, '#/limits', 'There is no limit that this key may see.');
		await change(tab, 'Limit a provider …', 'Set the limit', 'INC-48: <script>alert(16)</script>', { name, rate: '2.5', concurrency: '4' });
		await tab.sees(`The provider ${name} has 2.5 per second and 4 at a time as its limit.`);
		await tab.sees('INC-48: <script>alert(16)</script>');
		is(await tab.run(() => [...document.querySelectorAll('main script, main img, [onerror]')].length), 0, 'names and reasons stay text');
		await change(tab, 'Limit a tenant …', 'Set the limit', 'INC-48: too much', { name: 'acme', rate: '9' });
		await tab.sees('The tenant acme has 9 per second as its limit.');
		await tab.sees('INC-48: too much');
		await tab.picture(path.join(config.pictures, 'page-limits.png'));
		await tab.press('Limit a tenant …');
		await tab.write('name', 'initech');
		await tab.write('reason', 'INC-48: nothing');
		await tab.press('Set the limit');
		await tab.sees('a limit needs a rate or a concurrency');
		ok(true, 'a limit of nothing is refused, and why is said');
		await tab.press('Back');
		tab.complaints = tab.complaints.filter((text) => !text.includes('400'));
		await tab.tabTo('button Change the limit of acme');
		await tab.key('Enter');
		await tab.until(() => document.querySelector('dialog[open]') !== null);
		is(await tab.run(() => document.querySelector('dialog [name=rate]').value), '9', 'a change begins with what there is');
		await tab.write('rate', '');
		await tab.write('concurrency', '0');
		await tab.write('reason', 'INC-48: stop');
		await tab.press('Set the limit');
		await tab.sees('The tenant acme has 0 at a time as its limit.');
		await tab.sees('INC-48: stop');

		const viewer = await open('viewer');
		await go(viewer, '#/limits', 'acme');
		ok(!(await viewer.text()).includes('alert(15)'), 'another key sees the limits of its tenant');
		is((await buttons(viewer)).filter((text) => text.endsWith('…')), [], '… and may change none');
		const globex = await open('globex');
		await go(globex, '#/limits', 'There is no limit that this key may see.');
		is((await buttons(globex)).filter((text) => text.endsWith('…')), [], 'an operator sees and sets none');
		const oncall = await open('oncall');
		await go(oncall, '#/limits', 'acme');
		is((await buttons(oncall)).filter((text) => text.endsWith('…')), ['Limit a tenant …', 'Change …', 'Remove …'], 'an admin of a tenant may limit it, and no provider');
		await change(oncall, 'Remove …', 'Remove the limit', 'INC-48: over');
		await oncall.sees('The tenant acme has no limit.');
		await oncall.until(() => [...document.querySelectorAll('main button')].every((button) => button.innerText !== 'Remove …'));
		await tab.sees('INC-48: over');
		ok(true, 'a limit is removed, and others see it');
		is(await oncall.focused(), 'h1 Limits', 'the focus is on the heading when the button has gone');
	},

	// More limits than come at once.
	async many_limits() {
		const tab = await open('boss');

		await go(tab, '#/limits', 'many-0001');
		await tab.sees('many-1001');
		ok(true, 'all limits are shown, however many there are');
	},

	// Texts that would be elements and scripts.
	async hostile() {
		const tab = await open('boss');
		const bad = () => [...document.querySelectorAll('main script, main img, main b[id], main iframe, [onerror], [onload]')].map((element) => element.outerHTML);
		const id = '<img src=x onerror=alert(1)>';

		for (const [hash, text] of [
			['#/lost', 'evil"><script>alert(2)</script>'], [`#/action/${encodeURIComponent(id)}`, '<script>alert(3)</script>'],
			[`#/plan?action_ids=${encodeURIComponent(JSON.stringify([id]))}&patch=${encodeURIComponent('{"x": "<svg onload=alert(7)>"}')}`, '<svg onload=alert(7)>'],
			['#/batches?kind=any', '<iframe src=javascript:alert(8)>'], ['#/log', '<iframe src=javascript:alert(8)>'], ['#/batch/1?<script>alert(9)</script>', 'Progress'],
			['#/<img src=x onerror=alert(10)>', 'Batches'], ['#/action/<img src=x onerror=alert(11)>', id.slice(0, 10)]]) {
			await go(tab, hash, text);
			is(await tab.run(bad), [], `it stays text: ${hash}`);
		}
		ok(!tab.complaints.some((text) => text.includes('dialog')), 'no script has run', tab.complaints);
		tab.complaints = tab.complaints.filter((text) => !text.includes('404'));
		// And the policy holds: without it the test of its absence would show nothing.
		const broken = await tab.run(() => { try { document.querySelector('main').innerHTML = '<img src=x onerror=alert(12)>'; return 'taken'; } catch (error) { return error.name; } });
		is(broken, 'TypeError', 'not even code of the page could make elements of a text');
		await tab.run(() => { const script = document.createElement('script'); try { script.textContent = 'window.ran = 1'; } catch { /* as it should be */ } document.body.append(script); });
		is(await tab.run(() => window.ran ?? null), null, '… or run another script');
		tab.complaints = [];
	},

	async keyboard() {
		const tab = await open(null);

		await tab.type(config.keys.oncall);
		await tab.key('Enter');
		await tab.sees('Log out');
		await tab.sees('Updated');
		is(await tab.focused(), 'h1 Batches', 'the focus is on the heading of what is shown');
		await tab.run(() => document.activeElement.blur());
		await tab.tabTo('a Skip to content');
		await tab.key('Enter');
		ok((await tab.focused()).startsWith('main'), 'the way around the navigation');
		await tab.run(() => { document.activeElement.blur(); scrollTo(0, 0); });
		await tab.tabTo('a Lost');
		await tab.key('Enter');
		await tab.sees('20,000 records of lost actions');
		await tab.tabTo('input Begin of the window');
		const before = await tab.run(() => document.querySelector('figure p').innerText);
		for (let i = 0; i < 3; i++) await tab.key('ArrowRight');
		await tab.key('Tab');
		for (let i = 0; i < 3; i++) await tab.key('ArrowLeft');
		const after = await tab.run(() => document.querySelector('figure p').innerText);
		ok(after !== before && /\d \w+ from/.test(after), 'a window is chosen with the keyboard', before, after);
		is(await tab.run(() => [...document.querySelectorAll('[type=range]')].map((input) => /^\d{4}-\d\d-\d\d \d\d:\d\d/.test(input.getAttribute('aria-valuetext')))), [true, true], '… and its times are told');
		await tab.tabTo('button Plan a replay of this window');
		await tab.key('Enter');
		await tab.sees('would be replayed');
		await tab.tabTo('input Provider');
		await tab.type('sms');
		await tab.key('Enter');
		await tab.until(() => /provider=sms/.test(location.hash) && /would be replayed/.test(document.body.innerText));
		await go(tab, '#/action/single-1', 'Payload');
		await tab.tabTo('button Replay this action');
		await tab.key('Enter');
		await tab.until(() => document.querySelector('dialog[open]') !== null);
		ok((await tab.focused()).startsWith('input Reason'), 'a question has the focus', await tab.focused());
		await tab.key('Enter');
		ok(await tab.run(() => document.querySelector('dialog[open]') !== null), 'nothing is done without a reason');
		await tab.key('Escape');
		await tab.until(() => document.querySelector('dialog') === null);
		ok((await tab.focused()).startsWith('button Replay this action'), '… nor after Escape, and the focus is back');
		await tab.key('Enter');
		await tab.type('INC-43: by keyboard');
		await tab.key('Enter');
		await tab.sees('Enqueued as');
		ok(true, 'an action is replayed with the keyboard alone');
		await tab.sees('INC-43: by keyboard');
		ok(true, '… and its lineage has it');
	},

	// Records that do not fit into the gateway's hash chain are counted, and are refused if that is wanted.
	async chain() {
		const tab = await open('oncall');
		const counted = (caption) => tab.run((wanted) => [...document.querySelectorAll('#preview table')].filter((table) => table.caption?.innerText === wanted)
			.flatMap((table) => [...table.tBodies[0].rows].map((row) => row.innerText.replace(/\s+/g, ' ').trim())).sort(), caption);

		await go(tab, '#/plan?provider=ledger', '3 actions would be replayed');
		is(await counted('Beware'), ['its hash or link does not fit: changed after it was written 1'], 'what was changed is counted');
		is(await counted('Not replayed'), [], '… and replayed');
		await tab.run(() => { document.querySelector('details').open = true; });
		await tab.write('verify', 'required');
		await tab.press('Preview');
		await tab.sees('1 action would be replayed');
		ok(/verify=required/.test(await tab.run(() => location.hash)), 'it can be required that they fit');
		is(await counted('Not replayed'), ['its hash is not that of its columns 1', 'no hash of the gateway’s chain 1'], '… then it is refused, with what has no hash');
		is(await counted('Beware'), [], '… and nothing else is to be said');
		ok(await tab.run(() => document.querySelector('details').open && document.querySelector('[name=verify]').value === 'required'), 'what is required stays to be seen');
		await change(tab, 'Start 1 replay …', 'Replay 1 action', 'INC-50: verified');
		await shownBatch(tab);
	},

	// Every view, in both schemes and on a phone.
	async views() {
		const views = [['#/lost', 'By tenant'], ['#/plan', 'A preview shows'], [`#/plan?lost=true&tenant=acme&rate=5&patch=${encodeURIComponent('{"template_id": "t-99"}')}`, 'Samples'], ['#/batches?kind=any', 'Updated'],
			['#/batch/3', 'What was done'], ['#/action/single-1', 'Proof'], ['#/log', 'What was done'],
			['#/dead', 'could not be delivered'], ['#/dead?provider=fax', 'could not be delivered'], ['#/limits', 'Circuit breaker']];

		for (const dark of [false, true]) {
			const tab = await open('oncall', { dark });

			for (const [hash, text] of [[null, 'Log out'], ...views]) {
				if (hash) await go(tab, hash, text);
				else { await tab.press('Log out'); await tab.sees('API key'); }
				if (config.axe) {
					await tab.run(`() => { ${fs.readFileSync(config.axe, 'utf8')}\n}`);
					const found = await tab.run(async () => (await axe.run({ resultTypes: ['violations'] })).violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 150) + ' ' + node.failureSummary).join('\n')}`));
					is(found, [], `axe-core finds nothing, ${dark ? 'dark' : 'light'}: ${hash ?? 'login'}`);
				}
				if (!hash) { await tab.write('key', config.keys.oncall); await tab.press('Log in'); await tab.sees('Log out'); }
			}
		}
		const phone = await open('oncall', { width: 360, height: 740 });

		for (const [hash, text] of views) {
			await go(phone, hash, text);
			const wide = await phone.run(() => document.documentElement.scrollWidth);
			ok(wide <= 360, `fits on a phone: ${hash}`, wide);
		}
		await go(phone, '#/batch/3', 'What was done');
		await phone.picture(path.join(config.pictures, 'page-phone.png'));
	},
};

(async () => {
	browser = new Browser(config.chromium, fs.mkdtempSync(path.join(config.scratch, 'profile-')));
	try {
		await parts[part]();
		is(tabs.flatMap((tab) => tab.complaints), [], 'the console has nothing to complain about');
	} catch (error) {
		ok(false, 'comes to its end', error.stack);
	}
	await browser.close();
})();
