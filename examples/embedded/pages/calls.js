// What the pages have in common: how they call a method, and how a form does.

/** The result of a method. Throws an Error whose message is for people. */
export async function call(method, parameters = {}) {
    const response = await fetch(`/api/service/${method}`, {
        method: "POST",
        headers: {"content-type": "application/json"},
        body: JSON.stringify(parameters),
    })
    const {result, error} = await response.json()
    if (error) throw Object.assign(new Error(error.value), {code: error.code})
    return result
}

/** Let a form call `act` with its fields. While that runs it cannot be sent again; what fails is shown. */
export function onSend(form, act) {
    form.addEventListener("submit", event => {
        event.preventDefault()
        run(form, () => act(Object.fromEntries(new FormData(form))))
    })
}

/** Run what a button or a form asks for. */
export async function run(element, act) {
    if (element.ariaBusy === "true") return
    const alert = document.getElementById("alert")
    element.ariaBusy = "true"
    alert.textContent = ""
    try {
        await act()
        if (element instanceof HTMLFormElement) element.reset()
    } catch (error) {
        if (error.code === 1004) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`)
        alert.textContent = error.message
    } finally {
        element.ariaBusy = null
    }
}
