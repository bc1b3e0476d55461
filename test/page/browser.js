// A browser under control: Chromium without a window, over the pipe of its own protocol
// (--remote-debugging-pipe), so that no package is needed and no port is open.
'use strict';
const { spawn } = require('child_process');
const fs = require('fs');

const DEADLINE = 60000;
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

class Browser {
	// Start it; profile is a directory of its own.
	constructor(program, profile) {
		this.child = spawn(program, ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
			'--disable-component-update', '--disable-sync', '--no-proxy-server', '--hide-scrollbars', '--font-render-hinting=none', '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'],
			{ stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'], env: { ...process.env, HOME: profile, LANG: 'C.UTF-8' } });
		this.errors = '';
		this.child.stderr.on('data', (data) => { this.errors += data; });
		this.waiting = new Map();
		this.listeners = new Set();
		this.serial = 0;
		let unread = Buffer.alloc(0);
		this.child.stdio[4].on('data', (data) => {
			unread = Buffer.concat([unread, data]);
			for (let end; (end = unread.indexOf(0)) >= 0; unread = unread.subarray(end + 1))
				this.take(JSON.parse(unread.subarray(0, end).toString()));
		});
		this.ended = new Promise((done) => this.child.on('exit', done));
		this.ended.then(() => {
			for (const { fail } of this.waiting.values()) fail(new Error(`the browser has ended: ${this.errors.slice(-500)}`));
		});
	}

	take(message) {
		if (message.id === undefined) {
			for (const listener of this.listeners) listener(message);
			return;
		}
		const { done, fail } = this.waiting.get(message.id);
		this.waiting.delete(message.id);
		if (message.error) fail(new Error(message.error.message));
		else done(message.result);
	}

	send(method, params, sessionId) {
		const id = ++this.serial;
		const answer = new Promise((done, fail) => this.waiting.set(id, { done, fail }));

		this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
		return answer;
	}

	// A new tab, which shares nothing with others.
	async open(options = {}) {
		const { browserContextId } = await this.send('Target.createBrowserContext', {});
		const { targetId } = await this.send('Target.createTarget', { url: 'about:blank', browserContextId });
		const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
		const tab = new Tab(this, sessionId, browserContextId);

		await tab.begin(options);
		return tab;
	}

	async close() {
		await this.send('Browser.close', {}).catch(() => {});
		await this.ended;
	}
}

// The keys that are pressed here.
const KEYS = {
	Tab: 9, Enter: 13, Escape: 27, ' ': 32, End: 35, Home: 36, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40,
};

class Tab {
	constructor(browser, session, context) {
		this.browser = browser;
		this.session = session;
		this.context = context;
		this.complaints = [];    // what the console, the policy and exceptions say
		this.requests = [];      // URLs
	}

	send(method, params) { return this.browser.send(method, params, this.session); }

	async begin({ dark, width, height, downloads }) {
		this.browser.listeners.add(({ method, params, sessionId }) => {
			if (sessionId !== this.session) return;
			if (method === 'Runtime.exceptionThrown')
				this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
			else if (method === 'Runtime.consoleAPICalled' && ['error', 'warning', 'assert'].includes(params.type))
				this.complaints.push(params.args.map((arg) => arg.value ?? arg.description).join(' '));
			else if (method === 'Log.entryAdded' && ['error', 'warning'].includes(params.entry.level))
				this.complaints.push(`${params.entry.text} ${params.entry.url ?? ''}`);
			else if (method === 'Network.requestWillBeSent') this.requests.push(params.request.url);
			else if (method === 'Page.javascriptDialogOpening') {
				this.complaints.push(`a dialog: ${params.message}`);
				this.send('Page.handleJavaScriptDialog', { accept: false });
			}
		});
		await this.send('Page.enable');
		await this.send('Runtime.enable');
		await this.send('Log.enable');
		await this.send('Network.enable');
		await this.size(width ?? 1100, height ?? 800);
		await this.colours(dark);
		if (downloads)
			await this.browser.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: downloads, browserContextId: this.context });
	}

	colours(dark) {
		return this.send('Emulation.setEmulatedMedia', { features: [
			{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }, { name: 'prefers-reduced-motion', value: 'reduce' }] });
	}

	size(width, height) {
		return this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 500 });
	}

	async go(url) {
		await this.send('Page.navigate', { url });
		await this.until(() => document.readyState === 'complete' && location.href !== 'about:blank');
	}

	// What a function, which is run in the page, returns.
	async run(code, ...values) {
		const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
			expression: `(${code})(...${JSON.stringify(values)})`, awaitPromise: true, returnByValue: true });

		if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
		return result.value;
	}

	// Wait until a function in the page returns something true, and return that.
	async until(code, ...values) {
		const end = Date.now() + DEADLINE;
		let failure = '';

		for (;;) {
			// What is looked at may not be there yet.
			const value = await this.run(code, ...values).catch((error) => { failure = error; });

			if (value) return value;
			if (Date.now() > end)
				throw new Error(`not in time: ${code} ${JSON.stringify(values)} ${failure}\n${await this.run(() => document.body.innerText.slice(0, 3000))}`);
			await pause(50);
		}
	}

	// Wait until a text is to be seen.
	sees(text) { return this.until((wanted) => document.body.innerText.includes(wanted), text); }

	text() { return this.run(() => document.body.innerText); }

	async key(name, modifiers = 0) {
		const code = KEYS[name];
		const typed = name === 'Enter' ? '\r' : name === ' ' ? ' ' : undefined;

		await this.send('Input.dispatchKeyEvent', { type: typed ? 'keyDown' : 'rawKeyDown', key: name, code: name, windowsVirtualKeyCode: code, modifiers, text: typed });
		await this.send('Input.dispatchKeyEvent', { type: 'keyUp', key: name, code: name, windowsVirtualKeyCode: code, modifiers });
	}

	async type(text) { await this.send('Input.insertText', { text }); }

	// What has the focus: its tag and its name.
	focused() {
		return this.run(() => {
			const element = document.activeElement;
			return `${element.tagName.toLowerCase()} ${element.getAttribute('aria-label') ?? element.labels?.[0]?.innerText ?? element.innerText ?? ''}`.trim().replaceAll('\n', ' ');
		});
	}

	// Press Tab until something has the focus whose tag and name begin so.
	async tabTo(wanted) {
		for (let i = 0; i < 200; i++) {
			if ((await this.focused()).startsWith(wanted)) return;
			await this.key('Tab');
		}
		throw new Error(`cannot be reached with the keyboard: ${wanted}`);
	}

	// Click on the button or link with a text, in the dialog if there is one.
	async press(text) {
		await this.until((wanted) => {
			const found = [...(document.querySelector('dialog') ?? document).querySelectorAll('button, a, summary')].find((element) => element.innerText.trim() === wanted && !element.disabled);
			found?.click();
			return found !== undefined;
		}, text);
	}

	// Write into a field by its name, in the dialog if there is one.
	async write(name, value) {
		await this.until((wanted, text) => {
			const field = (document.querySelector('dialog') ?? document).querySelector(`[name="${wanted}"]`);
			if (!field) return false;
			if (field.type === 'checkbox') field.checked = text;
			else field.value = text;
			return true;
		}, name, value);
	}

	async drag(from, to) {
		const mouse = (type, { x, y }) => this.send('Input.dispatchMouseEvent', { type, x, y, button: 'left', buttons: type === 'mouseReleased' ? 0 : 1, clickCount: 1 });

		await mouse('mousePressed', from);
		await mouse('mouseMoved', { x: (from.x + to.x) / 2, y: from.y });
		await mouse('mouseMoved', to);
		await mouse('mouseReleased', to);
	}

	async picture(path) {
		const { data } = await this.send('Page.captureScreenshot', { format: 'png' });

		fs.writeFileSync(path, Buffer.from(data, 'base64'));
	}
}

module.exports = { Browser, pause };
