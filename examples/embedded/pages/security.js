// The forms of the page "Security".
import {call, onSend, run} from "./calls.js"

const element = id => document.getElementById(id)
const parts = ["enrol", "confirm", "recovery", "renew", "disable"]
let asked // the method that has sent a code, and its ticket

const actions = {
    async email(fields) {
        const {method} = element("email").dataset
        const {ticket} = await call(`${method}.request`, fields)
        asked = {method, ticket}
        open("verify")
    },
    async verify({code}) {
        await call(`${asked.method}.confirm`, {ticket: asked.ticket, code})
        location.reload()
    },
    async enrol({password}) {
        const {uri, secret} = await call("account.totp.enrol", {password})
        element("uri").href = uri
        element("secret").textContent = secret
        show("confirm")
        open("confirm")
    },
    async confirm({code}) {
        await showCodes(await call("account.totp.confirm", {code}))
    },
    async renew({code}) {
        await showCodes(await call("account.totp.recovery_codes", {code}))
    },
    async disable({code}) {
        await call("account.totp.disable", {code})
        await showState()
        open("enrol")
    },
}

for (const [id, act] of Object.entries(actions)) onSend(element(id), act)
run(document.body, showState)

async function showCodes({recovery_codes}) {
    await showState("recovery")
    element("codes").textContent = recovery_codes.join("\n")
    element("codes").focus()
}

/** Show what is true of the second factor, and the forms that fit. */
async function showState(...others) {
    const [{enabled, recovery_codes}, {devices}] = await Promise.all([
        call("account.totp.status"),
        call("account.totp.devices"),
    ])
    const left = `Recovery codes left: ${recovery_codes}.`
    element("state").textContent = enabled ? `It is on. ${left}` : "It is off."
    show(...(enabled ? ["renew", "disable"] : ["enrol"]), ...others)
    element("devices").hidden = !devices.length
    element("list").replaceChildren(...devices.map(item))
}

/** A remembered device, and its button. What a browser says of itself is text, not HTML. */
function item({handle, created, agent}) {
    const row = document.createElement("li")
    const button = document.createElement("button")
    button.textContent = "Forget"
    button.onclick = () =>
        run(button, async () => {
            await call("account.totp.forget", {handle})
            await showState()
        })
    row.append(`${agent || "unknown"}, since ${new Date(created * 1000).toLocaleString()} `, button)
    return row
}

/** Show these parts of the second factor, and no others. */
function show(...shown) {
    for (const id of parts) element(id).hidden = !shown.includes(id)
}

/** Show a form, ready to be typed into. */
function open(id) {
    element(id).hidden = false
    element(id).querySelector("input").focus()
}
